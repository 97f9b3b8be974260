// Fuzzes the reader of model images (usermod_c/core/model.c): whatever it lets through must plan, and train a step.
#include <stdlib.h>
#include <string.h>

#include "microtrain.h"
#include "sha256.h"
#include "signature.h"

#define HEADER 96
#define RESERVED 76 // bytes of the header that the reader ignores: here they choose what is done with the image
#define MOST_MACS 100000
#define MOST_BYTES (1 << 20)
#define MOST_ROWS 512
#define MOST_OPS 8

static void fill_row(void *context, int8_t *row, uint32_t bytes) {
    memset(row, *(const uint8_t *)context, bytes);
}

static void train(const mt_model_t *m, const uint8_t *choice) {
    uint64_t macs = 0;
    for (uint32_t i = 0; i < m->op_count; i++) {
        macs += mt_op_macs(m, i) + mt_tensor_size(&m->tensors[m->ops[i].output]);
    }
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        if (m->tensors[i].h > MOST_ROWS || mt_tensor_size(&m->tensors[i]) > MOST_MACS) {
            return; // it may be valid, but takes long
        }
    }
    if (macs > MOST_MACS || m->op_count > MOST_OPS) {
        return;
    }
    mt_layer_scheme_t *layers = calloc(m->op_count, sizeof(*layers));
    for (uint32_t i = 0; i < m->op_count; i++) {
        uint8_t layer = choice[4 + i % 12];
        uint32_t all = m->ops[i].kind == MT_LINEAR ? mt_tensor_size(&m->tensors[m->ops[i].input[0]]) : m->tensors[m->ops[i].input[0]].c;
        bool weights = m->ops[i].kind <= MT_LINEAR;
        layers[i] = (mt_layer_scheme_t) {.bias = weights && layer & 1, .channels = !weights ? 0 : layer & 2 ? all : layer >> 2};
    }
    mt_scheme_t scheme = {
        .loss = (enum mt_loss_kind)(choice[0] % 3), .new_classes = choice[1] & 64 ? choice[1] & 7 : 0, .layers = layers,
        .wide = (enum mt_wide)(choice[2] % 3), .gradient_bits = choice[2] & 64 ? 12 : 8, .momentum_bits = choice[3] & 64 ? choice[3] & 24 : 0,
        .stream = (enum mt_stream_kind)(choice[3] % 3),
    };
    size_t bytes = mt_plan_work_size(m, &scheme);
    void *work = malloc(bytes);
    mt_plan_t plan;
    mt_session_t *s = NULL;
    if (mt_plan(m, &scheme, work, bytes, &plan, NULL) == MT_OK && plan.info.total_bytes <= MOST_BYTES) {
        void *block = malloc(plan.info.total_bytes);
        if (mt_session_init(&s, m, &plan, block, plan.info.total_bytes, 1, NULL)) {
            abort(); // it was planned
        }
        mt_session_set_lr(s, 0.1f);
        if (plan.input_rows) {
            mt_session_set_source(s, fill_row, (void *)(choice + 16));
        } else {
            memset(mt_session_input(s), choice[16], mt_tensor_size(&m->tensors[m->input]));
        }
        mt_session_forward(s);
        uint32_t loss;
        if (scheme.loss == MT_LOSS_MSE) {
            memset(mt_session_target(s), 0, 4 * plan.info.classes);
        }
        if (scheme.loss == MT_LOSS_NONE) {
            mt_session_argmax(s);
        } else if ((scheme.loss == MT_LOSS_MSE ? mt_session_mse(s, &loss) : mt_session_cross_entropy(s, 0, &loss)) == MT_OK) {
            mt_session_backward(s);
        }
        free(block);
    }
    free(work);
    free(layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *image = malloc(size ? size : 1); // its end is where the sanitizer looks
    memcpy(image, data, size);
    // The hash must not stop what is random: it is left out, or made right.
    bool hashed = size >= HEADER && data[HEADER - 1] & 1;
    uint32_t length = 0;
    if (hashed) {
        memcpy(&length, data + 8, 4);
    }
    if (length >= HEADER && length <= size) {
        mt_sha256(image + 48, length - 48, image + 16);
    }
    mt_model_t model;
    mt_error_t error;
    static const uint8_t key[MT_KEY_BYTES] = {1, 2, 3};
    if (mt_model_open(&model, image, size, hashed, &error) == MT_OK) {
        mt_signature_check(&model, size, key, &error);
        train(&model, data + RESERVED);
    } else if (error.code >= 0) {
        abort();
    }
    free(image);
    return 0;
}
