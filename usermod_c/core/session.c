// A plan with its memory: layout of the block, initial trained tensors, checkpoints.
#include <string.h>

#include "arch/kernels.h"
#include "error.h"
#include "fixed.h"
#include "microtrain.h"
#include "operand.h"
#include "scale.h"

_Static_assert(sizeof(mt_session_t) <= MT_SESSION_BYTES, "the block's tables are laid out for this size");

#define RESERVED_STATE 8 // random state, samples summed since the last update
#define MAX_SHIFT 24
#define STACK_FILL 0xA5
#define STACK_GUARD 16

static uint8_t *take(uint8_t **at, uint32_t bytes) {
    uint8_t *p = *at;
    *at += mt_align(bytes, MT_ALIGN);
    return p;
}

static void copy_trained_rows(const mt_weights_t *w, int32_t rows) {
    for (int32_t i = 0; i < rows * w->taps; i++) {
        for (int32_t j = 0; j < w->count; j++) {
            w->trained[i * w->count + j] = w->frozen[i * w->in_c + mt_weights_channel(w, j)];
        }
    }
}

static void copy_trained_depthwise(const mt_depthwise_t *d) {
    const mt_weights_t *w = &d->weights;
    for (int32_t t = 0; t < w->taps; t++) {
        for (int32_t j = 0; j < w->count; j++) {
            int32_t o = mt_weights_channel(w, j / d->multiplier) * d->multiplier + j % d->multiplier;
            w->trained[t * w->count + j] = w->frozen[t * w->in_c + o];
        }
    }
}

static void copy_biases(const mt_channels_t *c, int32_t rows) {
    for (int32_t o = 0; o < rows; o++) {
        c->master[o] = mt_bias_master(c->bias[o], c->scale[o], c->largest_scale);
    }
}

// Scale of a new head: a small part of the old one's mean. Rows that outgrow it widen; one that is too coarse drowns small steps
// in the noise of their rounding (measured: -8 points at lr 2^-12 on features of norm 41 with the mean itself, 0 from 1/32 on).
#define HEAD_SCALE_DIVISOR 64

static float new_head_scale(const mt_model_t *m, uint32_t op) {
    const float *scale = (const float *)(m->base + m->ops[op].weight_scale);
    uint32_t rows = m->tensors[m->ops[op].output].c;
    double sum = 0;
    for (uint32_t o = 0; o < rows; o++) {
        sum += (double)scale[o];
    }
    return (float)(sum / rows / HEAD_SCALE_DIVISOR);
}

static void init_head(mt_session_t *s, uint32_t op) {
    mt_head_t h = mt_operand_head(s, op, true);
    const mt_op_plan_t *p = &s->ops[op];
    bool fresh = p->flags & MT_F_NEW;
    const float *scale = (const float *)(s->model->base + s->model->ops[op].weight_scale);
    float start = fresh ? new_head_scale(s->model, op) : 0;
    for (int32_t o = 0; h.scale && o < h.window.out_c; o++) {
        h.scale[o] = fresh ? start : scale[o];
    }
    if (p->channels && !fresh) {
        copy_trained_rows(&h.weights, h.window.out_c);
    }
    mt_head_refresh(&h, s->model->tensors[s->model->ops[op].input[0]].scale);
    if (h.channels.master && !fresh) {
        copy_biases(&h.channels, h.window.out_c);
    }
}

static void init_op(mt_session_t *s, uint32_t op) {
    const mt_op_plan_t *p = &s->ops[op];
    if (p->flags & MT_F_LOGITS) {
        init_head(s, op);
    } else if (mt_is_trained(p) && s->model->ops[op].kind == MT_DEPTHWISE_CONV2D) {
        mt_depthwise_t d = mt_operand_depthwise(s, op, true);
        if (p->channels) {
            copy_trained_depthwise(&d);
        }
        if (d.channels.master) {
            copy_biases(&d.channels, d.window.out_c);
        }
    } else if (mt_is_trained(p)) {
        mt_conv_t c = mt_operand_conv(s, op, true);
        if (p->channels) {
            copy_trained_rows(&c.weights, c.window.out_c);
        }
        if (c.channels.master) {
            copy_biases(&c.channels, c.window.out_c);
        }
    }
}

int mt_session_init(mt_session_t **session, const mt_model_t *model, const mt_plan_t *plan, void *block, size_t block_size, uint32_t seed,
    mt_error_t *error) {
    const mt_plan_info_t *info = &plan->info;
    uint32_t bytes = info->total_bytes - (plan->region_count ? info->arena_bytes : 0);
    if (block_size < bytes) {
        return mt_fail(error, MT_ERR_MEMORY, -1, bytes, (uint32_t)block_size);
    }
    uint32_t misaligned = (uintptr_t)block % MT_ALIGN;
    for (uint32_t k = 0; k < plan->region_count; k++) {
        misaligned |= (uintptr_t)plan->regions[k].data % MT_ALIGN;
    }
    if (misaligned) {
        return mt_fail(error, MT_ERR_ALIGN, -1, MT_ALIGN, misaligned);
    }
    memset(block, 0, info->table_bytes + info->state_bytes + info->derived_bytes);
    uint8_t *at = (uint8_t *)block + MT_SESSION_BYTES;
    mt_session_t *s = block;
    uint32_t n = plan->run_count;
    *s = (mt_session_t) {
        .model = model, .block = block, .total_bytes = info->total_bytes, .state_bytes = info->state_bytes, .run_count = n,
        .output = plan->output, .grad_top = plan->grad_top, .loss_scratch = plan->loss_scratch, .input = plan->input, .stream = plan->stream,
        .stream_ops = (uint16_t)plan->stream_ops, .input_rows = (uint16_t)plan->input_rows,
        .classes = info->classes, .loss = (uint8_t)plan->loss, .gradient_bits = (uint8_t)plan->gradient_bits,
        .logits = (plan->ops[n - 1].flags & MT_F_LOGITS) != 0,
        .accumulate = 1, .plain = true, .qas = true,
    };
    s->ops = (mt_op_plan_t *)take(&at, n * (uint32_t)sizeof(mt_op_plan_t));
    s->lists = (uint16_t *)take(&at, plan->list_count * 2);
    s->exponents = (int16_t *)take(&at, (uint32_t)model->tensor_count * 2);
    if (plan->cores > 1) {
        s->stack = take(&at, MT_STACK_BYTES);
        memset(s->stack, STACK_FILL, MT_STACK_BYTES);
    }
    s->state = take(&at, info->state_bytes);
    s->derived = take(&at, info->derived_bytes);
    for (uint32_t k = 0; k < MT_REGIONS; k++) {
        s->arena[k] = plan->regions[k].data;
        s->region_start[k] = k < plan->region_count ? plan->region_start[k] : MT_NONE; // no offset is as large
    }
    if (!plan->region_count) {
        s->arena[0] = at;
        s->region_start[0] = 0;
    }
    memcpy(s->ops, plan->ops, n * sizeof(mt_op_plan_t));
    if (plan->list_count) {
        memcpy(s->lists, plan->lists, plan->list_count * 2);
    }
    s->rng = (uint32_t *)s->state;
    s->shifts = (mt_shift_t *)(s->state + RESERVED_STATE);
    *s->rng = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < n; i++) {
        init_op(s, i);
    }
    mt_session_refresh(s);
    *session = s;
    return MT_OK;
}

int mt_session_set_split(mt_session_t *s, mt_split_t split, void *context) {
    if (split && !s->stack) {
        return MT_ERR_VALUE;
    }
    s->split = split;
    s->split_context = context;
    return MT_OK;
}

bool mt_session_stack_is_intact(const mt_session_t *s) {
    for (uint32_t i = 0; s->stack && i < STACK_GUARD; i++) {
        if (s->stack[i] != STACK_FILL) {
            return false;
        }
    }
    return true;
}

int mt_session_set_lr(mt_session_t *s, float lr) {
    if (!(lr >= 0.0f && lr < 2147483648.0f)) {
        return MT_ERR_VALUE;
    }
    s->lr_mantissa = 0;
    s->lr_exponent = 0;
    if (lr >= 1e-30f) { // anything smaller moves no weight
        mt_q31_t q = mt_q31(lr); // mantissa in [2^30, 2^31) is Q30 in [1, 2)
        s->lr_mantissa = q.mantissa;
        s->lr_exponent = (int16_t)(q.exponent - 1);
    }
    return MT_OK;
}

int mt_session_set_optimizer(mt_session_t *s, const mt_optimizer_t *o) {
    bool velocity = mt_velocity_bytes(&s->ops[s->run_count - 1]);
    if (!(o->momentum >= 0.0f && o->momentum < 1.0f && o->weight_decay >= 0.0f && o->weight_decay < 2147483648.0f) || o->accumulate < 1
        || o->accumulate > UINT16_MAX || (!velocity && (o->momentum > 0.0f || o->accumulate > 1))) {
        return MT_ERR_VALUE;
    }
    s->momentum = (uint16_t)(o->momentum * 32768.0f);
    s->weight_decay = o->weight_decay >= 1e-30f ? o->weight_decay : 0.0f;
    s->accumulate = (uint16_t)o->accumulate;
    s->plain = !s->momentum && s->accumulate == 1 && s->weight_decay <= 0.0f;
    s->qas = o->qas;
    return MT_OK;
}

uint8_t *mt_session_state(mt_session_t *s) {
    return s->state;
}

static void refresh_rows(const mt_weights_t *w, const mt_window_t *window, int32_t *zero_sum, int8_t *row_buffer) {
    // rows of a mixed layer are summed tap by tap, so that the buffer need hold one tap only
    for (int32_t o = 0; o < window->out_c; o++) {
        int32_t sum = 0;
        for (int32_t t = 0; t < w->taps; t++) {
            sum += mt_sum(mt_weights_row(w, o, t, 1, row_buffer), w->in_c);
        }
        zero_sum[o] = -window->in_zero * sum;
    }
}

// A state may come from a file: whatever it holds, the arithmetic stays defined.
static void sanitize(mt_session_t *s, uint32_t op, const mt_state_layout_t *l) {
    uint8_t *state = s->state + s->ops[op].state;
    mt_window_t w = mt_operand_window(s->model, op, &s->ops[op], s->classes);
    int8_t *weights = (int8_t *)(state + l->weights);
    for (uint32_t i = 0; i < l->trained_weights; i++) {
        weights[i] = weights[i] < -MT_WEIGHT_MAX ? -MT_WEIGHT_MAX : weights[i];
    }
    if (s->ops[op].flags & MT_F_BIAS) {
        int32_t *master = (int32_t *)(state + l->master);
        const int32_t most = (int32_t)1 << 30;
        for (int32_t o = 0; o < w.out_c; o++) {
            master[o] = master[o] == MT_BIAS_FROZEN ? master[o] : mt_clamp(master[o], -most, most);
        }
    }
    if (s->ops[op].flags & MT_F_LOGITS && s->ops[op].channels) {
        float *scale = (float *)(state + l->scale);
        for (int32_t o = 0; o < w.out_c; o++) {
            scale[o] = scale[o] >= 1e-30f && scale[o] <= 1e30f ? scale[o] : 1.0f;
        }
    }
}

void mt_session_refresh(mt_session_t *s) {
    *s->rng = *s->rng ? *s->rng : 1;
    for (uint32_t i = 0; i < 2 * s->run_count; i++) {
        s->shifts[i].shift = s->shifts[i].shift > MAX_SHIFT ? MAX_SHIFT : s->shifts[i].shift;
    }
    for (uint32_t i = 0; i < s->run_count; i++) {
        const mt_op_plan_t *p = &s->ops[i];
        if (!mt_is_trained(p)) {
            continue;
        }
        mt_state_layout_t l = mt_operand_layout(s->model, i, p, s->classes);
        sanitize(s, i, &l);
        int8_t *row_buffer = mt_arena_scratch(s, p->scratch_forward);
        if (p->flags & MT_F_LOGITS) {
            mt_head_t h = mt_operand_head(s, i, true);
            if (p->channels) {
                refresh_rows(&h.weights, &h.window, h.channels.zero_sum, row_buffer);
            }
            mt_head_refresh(&h, s->model->tensors[s->model->ops[i].input[0]].scale);
        } else if (l.mult > l.zero_sum) {
            mt_conv_t c = mt_operand_conv(s, i, true);
            refresh_rows(&c.weights, &c.window, c.channels.zero_sum, row_buffer);
        }
    }
}
