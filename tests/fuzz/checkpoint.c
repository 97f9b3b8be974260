// Fuzzes what reads a checkpoint: its beginning (usermod_c/core/checkpoint.c), and the state, which a small network takes and trains on with.
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "microtrain.h"

// network.mtm, at an address that is a multiple of 16.
__asm__(".section .rodata\n.balign 16\n.global network\nnetwork:\n.incbin \"" NETWORK "\"\n.global network_end\nnetwork_end:\n.text\n");
extern const uint8_t network[], network_end[];

enum { SESSIONS = 4, CRC_AT = MT_CHECKPOINT_HEADER + 18 };

static struct {
    mt_session_t *session;
    uint8_t *block, *fresh; // the memory of the session, and what it holds at first
    uint32_t bytes, classes;
} sessions[SESSIONS];

static mt_model_t model;

static void make_sessions(void) {
    if (mt_model_open(&model, network, (size_t)(network_end - network), true, NULL)) {
        abort();
    }
    for (uint32_t k = 0; k < SESSIONS; k++) {
        mt_layer_scheme_t layers[32] = {{0}};
        for (uint32_t i = 0; i < model.op_count; i++) {
            const mt_tensor_t *in = &model.tensors[model.ops[i].input[0]];
            if (model.ops[i].kind <= MT_LINEAR) {
                layers[i] = (mt_layer_scheme_t) {.bias = true, .channels = model.ops[i].kind == MT_LINEAR ? mt_tensor_size(in) : k == 3 ? 1 : in->c};
            }
        }
        mt_scheme_t scheme = {
            .loss = MT_LOSS_CROSS_ENTROPY, .layers = layers, .new_classes = k == 2 ? 5 : 0, .wide = k == 1 ? MT_WIDE_ALL : MT_WIDE_HEAD,
            .gradient_bits = k == 2 ? 12 : 8, .momentum_bits = k == 1 ? 16 : k == 2 ? 8 : 0,
        };
        size_t bytes = mt_plan_work_size(&model, &scheme);
        void *work = malloc(bytes);
        mt_plan_t plan;
        if (mt_plan(&model, &scheme, work, bytes, &plan, NULL)) {
            abort();
        }
        sessions[k].bytes = plan.info.total_bytes;
        sessions[k].classes = plan.info.classes;
        sessions[k].block = malloc(plan.info.total_bytes);
        sessions[k].fresh = malloc(plan.info.total_bytes);
        if (mt_session_init(&sessions[k].session, &model, &plan, sessions[k].block, plan.info.total_bytes, 1, NULL)) {
            abort();
        }
        mt_optimizer_t optimizer = {.momentum = k == 1 ? 0.9f : 0.0f, .weight_decay = k == 1 ? 0.01f : 0.0f, .accumulate = k == 1 || k == 2 ? 2 : 1, .qas = k != 3};
        if (mt_session_set_optimizer(sessions[k].session, &optimizer)) {
            abort();
        }
        memcpy(sessions[k].fresh, sessions[k].block, sessions[k].bytes);
        free(work);
    }
}

static uint32_t crc32(const uint8_t *data, size_t length) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < 8 * length; i++) {
        crc = crc >> 1 ^ (((crc ^ (uint32_t)data[i / 8] >> i % 8) & 1) ? 0xEDB88320 : 0);
    }
    return ~crc;
}

static void use(const mt_checkpoint_t *c, const uint8_t *state, size_t bytes) {
    uint32_t k = c->seed % SESSIONS;
    mt_session_t *s = sessions[k].session;
    memcpy(sessions[k].block, sessions[k].fresh, sessions[k].bytes);
    memcpy(mt_session_state(s), state, bytes < s->state_bytes ? bytes : s->state_bytes);
    mt_session_refresh(s);
    if (mt_session_set_lr(s, c->lr)) {
        abort(); // the reader lets no other rate through
    }
    for (uint32_t step = 0; step < 2; step++) {
        uint32_t loss;
        memset(mt_session_input(s), (int)(c->steps >> 8 * step & 0xFF), mt_tensor_size(&model.tensors[model.input]));
        mt_session_forward(s);
        if (mt_session_cross_entropy(s, c->epochs % sessions[k].classes, &loss)) {
            abort();
        }
        mt_session_backward(s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!sessions[0].session) {
        make_sessions();
    }
    size_t head_bytes = size < MT_CHECKPOINT_HEAD ? size : MT_CHECKPOINT_HEAD;
    uint8_t *head = malloc(head_bytes ? head_bytes : 1); // its end is where the sanitizer looks
    memcpy(head, data, head_bytes);
    uint32_t length = (uint32_t)size, lengths[2];
    // CRC-32 and length must not stop what is random: every other input gets the right ones.
    if (head_bytes == MT_CHECKPOINT_HEAD && size & 1) {
        uint32_t crc = crc32(head, MT_CHECKPOINT_HEADER);
        for (int i = 0; i < 8; i++) {
            head[CRC_AT + i] = (uint8_t)"0123456789abcdef"[crc >> (28 - 4 * i) & 15];
        }
        memcpy(lengths, head + 8, 8);
        length = MT_CHECKPOINT_HEADER + lengths[0] + lengths[1] + MT_CHECKPOINT_DIGEST;
    }
    mt_checkpoint_t checkpoint;
    mt_error_t error;
    if (mt_checkpoint_open(&checkpoint, head, head_bytes, length, &error) == MT_OK) {
        use(&checkpoint, data + head_bytes, size - head_bytes);
    } else if (error.code >= 0) {
        abort();
    }
    free(head);
    return 0;
}
