// Executes a plan's loss and backward pass, with the update of every layer as its gradient arrives.
#include <string.h>

#include "operators.h"
#include "fixed.h"
#include "gradient.h"
#include "microtrain.h"
#include "momentum.h"
#include "operand.h"
#include "ops/elementwise.h"
#include "ops/loss.h"
#include "ops/pool.h"

#define MOVE_UP_BITS 8

// ---- loss ----

// Outputs in Q16 real units: the logits, or the int8 output converted.
static const int32_t *outputs_q16(const mt_session_t *s, int32_t *converted) {
    if (s->logits) {
        return mt_session_output(s);
    }
    const mt_tensor_t *t = &s->model->tensors[s->model->ops[s->run_count - 1].output];
    const int8_t *q = mt_session_output(s);
    double unit = (double)t->scale * 65536.0;
    int64_t step = unit < 8388608.0 ? (int64_t)(unit * 65536.0 + 0.5) : (int64_t)8388608 << 16; // Q32 of the real unit
    for (uint32_t i = 0; i < s->classes; i++) {
        converted[i] = mt_clamp64(mt_round_shift((q[i] - t->zero_point) * step, 16), -INT32_MAX, INT32_MAX);
    }
    return converted;
}

// Scratch of the loss: [weights u32, or target i32][converted i32][gradient i16], the last two only for int8 outputs.
static int32_t *converted_at(const mt_session_t *s) {
    return (int32_t *)mt_arena_at(s, s->loss_scratch) + s->classes;
}

static int16_t *gradient_at(const mt_session_t *s) {
    return s->logits ? mt_arena_at(s, s->grad_top) : (int16_t *)(converted_at(s) + s->classes);
}

static void finish_gradient(mt_session_t *s, int exponent) {
    s->exponents[s->ops[s->run_count - 1].out_root] = (int16_t)exponent;
    if (s->logits) {
        return;
    }
    const int16_t *from = gradient_at(s);
    int8_t *top = mt_arena_at(s, s->grad_top);
    if (s->gradient_bits > 8) {
        memcpy(top, from, s->classes * 2);
        return;
    }
    for (uint32_t i = 0; i < s->classes; i++) {
        top[i] = (int8_t)from[i];
    }
}

static int top_bits(const mt_session_t *s) {
    return s->logits ? mt_loss_bits(s->classes) : s->gradient_bits - 1;
}

int mt_session_cross_entropy(mt_session_t *s, uint32_t label, uint32_t *loss_q16) {
    if (s->loss != MT_LOSS_CROSS_ENTROPY) {
        return MT_ERR_NO_LOSS;
    }
    if (label >= s->classes) {
        return MT_ERR_LABEL;
    }
    int exponent;
    *loss_q16 = mt_cross_entropy(outputs_q16(s, converted_at(s)), s->classes, label, top_bits(s), gradient_at(s), &exponent,
        mt_arena_at(s, s->loss_scratch));
    finish_gradient(s, exponent);
    return MT_OK;
}

int32_t *mt_session_target(mt_session_t *s) {
    return s->loss == MT_LOSS_MSE ? mt_arena_at(s, s->loss_scratch) : NULL;
}

int mt_session_mse(mt_session_t *s, uint32_t *loss_q16) {
    if (s->loss != MT_LOSS_MSE) {
        return MT_ERR_NO_LOSS;
    }
    int exponent;
    *loss_q16 = mt_mean_squared_error(outputs_q16(s, converted_at(s)), mt_session_target(s), s->classes, top_bits(s), gradient_at(s), &exponent);
    finish_gradient(s, exponent);
    return MT_OK;
}

// ---- backward ----

typedef struct { // one operator's backward pass
    mt_session_t *s;
    uint32_t index;
    const mt_op_plan_t *plan;
    mt_gradient_t q; // of the output, masked; a head's is always int16
    int exponent;
    void *scratch;
} backward_t;

typedef struct { // a pass of an input gradient
    mt_gradient_pass_t run;
    const void *context;
    int32_t units; // that it may be halved by; 0: not at all
    uint32_t bytes; // of scratch, where it may be halved
} pass_t;

typedef struct {
    const mt_session_t *s;
    pass_t pass;
} halves_t;

typedef struct {
    const pass_t *pass;
    mt_gradient_out_t out;
} half_t;

static void run_half(void *argument) {
    half_t *half = argument;
    half->pass->run(half->pass->context, &half->out);
}

// A pass in two halves, and what both saw.
static void run_halves(const void *context, mt_gradient_out_t *out) {
    const halves_t *h = context;
    half_t first = {&h->pass, *out}, second = {&h->pass, *out};
    first.out.end = second.out.first = h->pass.units / 2;
    second.out.scratch = (uint8_t *)out->scratch + mt_second_scratch(h->pass.bytes);
    h->s->split(h->s->split_context, run_half, &first, &second);
    out->seen_bits = first.out.seen_bits | second.out.seen_bits;
    out->over = first.out.over + second.out.over;
    out->saturated = first.out.saturated + second.out.saturated;
}

// Input gradient k through `pass`; its accumulators have the gradient's exponent plus `extra`.
static void run_input_gradient(backward_t *b, uint32_t k, pass_t pass, int extra) {
    mt_session_t *s = b->s;
    uint16_t root = b->plan->in_root[k];
    mt_gradient_out_t out = {.out = mt_arena_at(s, b->plan->grad_in[k]), .skip = mt_arena_at(s, b->plan->skip[k]), .scratch = b->scratch,
                             .end = pass.units, .bits = s->gradient_bits};
    uint32_t n = mt_tensor_size(&s->model->tensors[root]);
    halves_t halves = {s, pass};
    bool split = MT_CORES > 1 && s->split && pass.units > 1;
    s->exponents[root] = (int16_t)mt_clamp(mt_gradient_run(split ? run_halves : pass.run, split ? &halves : pass.context, &out, n,
        &s->shifts[2 * b->index + k], b->exponent + extra, s->exponents[root], s->exact_shifts), -16384, 16384);
}

static mt_update_t make_update(const backward_t *b, float largest_scale) {
    const mt_session_t *s = b->s;
    mt_state_layout_t l = mt_operand_layout(s->model, b->index, b->plan, s->classes);
    uint8_t *state = s->state + b->plan->state;
    return (mt_update_t) {
        .session = s, .op = b->index, .in_scale = s->model->tensors[s->model->ops[b->index].input[0]].scale, .largest_scale = largest_scale,
        .exponent = b->exponent, .qas = s->qas || b->plan->flags & MT_F_LOGITS, // a head that learns is in real units
        .velocity_bytes = (uint8_t)mt_velocity_bytes(b->plan),
        .weights = {state + l.velocity, (int8_t *)(state + l.velocity_exponents)},
        .biases = {state + l.bias_velocity, (int8_t *)(state + l.bias_exponents)},
    };
}

static void backward_head(backward_t *b) {
    mt_head_t head = mt_operand_head(b->s, b->index, true);
    if (b->plan->flags & MT_F_GRAD_IN0) {
        mt_head_gradient_t g = {&head, b->q.data};
        run_input_gradient(b, 0, (pass_t) {mt_head_backward_input, &g, 0, 0}, head.channels.scale_exponent);
    }
    mt_update_t u = make_update(b, head.channels.largest_scale);
    mt_head_update(&head, b->q.data, mt_arena_at(b->s, b->plan->saved), &u, b->scratch);
}

static void backward_conv2d(backward_t *b) {
    mt_conv_t conv = mt_operand_conv(b->s, b->index, true);
    if (b->plan->flags & MT_F_GRAD_IN0) {
        int extra = mt_fold_extra(mt_conv2d_backward_terms(&conv.window), b->s->gradient_bits);
        mt_conv_gradient_t g = {&conv, b->q, extra};
        pass_t pass = {mt_conv2d_backward_input, &g, conv.window.in_h * conv.window.in_w, mt_conv2d_backward_input_scratch(&conv.window)};
        run_input_gradient(b, 0, pass, conv.channels.scale_exponent - extra);
    }
    mt_update_t u = make_update(b, conv.channels.largest_scale);
    if (b->plan->channels) {
        mt_conv2d_update_weights(&conv, b->q, mt_arena_at(b->s, b->plan->saved), &u, b->scratch);
    }
    if (b->plan->flags & MT_F_BIAS) {
        mt_update_channel_biases(&conv.window, &conv.channels, b->q, &u);
    }
}

static void backward_depthwise(backward_t *b) {
    mt_depthwise_t depthwise = mt_operand_depthwise(b->s, b->index, true);
    if (b->plan->flags & MT_F_GRAD_IN0) {
        mt_depthwise_gradient_t g = {&depthwise, b->q};
        pass_t pass = {mt_depthwise_backward_input, &g, depthwise.window.in_c,
                       mt_depthwise_backward_input_scratch(&depthwise.window, mt_weights_are_mixed(&depthwise.weights))};
        run_input_gradient(b, 0, pass, depthwise.channels.scale_exponent - 8);
    }
    mt_update_t u = make_update(b, depthwise.channels.largest_scale);
    if (b->plan->channels) {
        mt_depthwise_update_weights(&depthwise, b->q, mt_arena_at(b->s, b->plan->saved), &u, b->scratch);
    }
    if (b->plan->flags & MT_F_BIAS) {
        mt_update_channel_biases(&depthwise.window, &depthwise.channels, b->q, &u);
    }
}

static void backward_pool(backward_t *b, bool max) {
    const mt_session_t *s = b->s;
    mt_pool_gradient_t g = {mt_operand_window(s->model, b->index, b->plan, s->classes), b->q, max ? mt_arena_at(s, b->plan->saved) : NULL};
    int bits = max ? -1 : mt_average_pool_exact_bits(&g.window);
    if (bits >= 0 && b->plan->skip[0] == MT_NONE) {
        mt_average_pool_spread(&g.window, b->q, mt_arena_at(s, b->plan->grad_in[0]));
        s->exponents[b->plan->in_root[0]] = (int16_t)(b->exponent - bits);
        return;
    }
    run_input_gradient(b, 0, (pass_t) {mt_pool_backward_input, &g, 0, 0}, max ? 0 : -MT_POOL_BITS);
}

// pad, and operators that pass their gradient: input k gets it as it is, or added to what waits there.
static void backward_move(backward_t *b, uint32_t k) {
    const mt_session_t *s = b->s;
    if (b->plan->flags & MT_F_ALIAS0 << k) {
        s->exponents[b->plan->in_root[k]] = (int16_t)b->exponent;
        return;
    }
    int up = b->plan->skip[k] == MT_NONE ? 0 : MOVE_UP_BITS;
    mt_move_gradient_t g = {mt_operand_window(s->model, b->index, b->plan, s->classes), b->q, up};
    run_input_gradient(b, k, (pass_t) {mt_move_backward_input, &g, 0, 0}, -up);
}

static mt_gradient_t masked_gradient(const mt_session_t *s, uint32_t index) {
    const mt_op_plan_t *p = &s->ops[index];
    mt_gradient_t masked = {mt_arena_at(s, p->grad_masked), s->gradient_bits > 8};
    if (p->flags & MT_F_MASK) {
        const mt_op_t *op = &s->model->ops[index];
        mt_clamp_mask_t mask = mt_operand_mask(op);
        mt_gradient_t arrived = {mt_arena_at(s, p->grad_out), masked.wide};
        mt_mask_apply(&mask, mt_arena_at(s, p->mask), mt_arena_at(s, p->out), arrived, mt_arena_at(s, p->grad_masked),
            mt_tensor_size(&s->model->tensors[op->output]));
    }
    return masked;
}

static bool all_zero(const uint8_t *p, uint32_t n) {
    while (n && !*p) {
        p++;
        n--;
    }
    return n == 0;
}

static void backward_op(mt_session_t *s, uint32_t i) {
    const mt_op_plan_t *p = &s->ops[i];
    backward_t b = {s, i, p, masked_gradient(s, i), s->exponents[p->out_root], mt_arena_scratch(s, p->scratch_backward)};
    int kind = s->model->ops[i].kind;
    switch (kind) {
        case MT_LINEAR:
        case MT_CONV2D:
            if (p->flags & MT_F_LOGITS) {
                backward_head(&b);
            } else {
                backward_conv2d(&b);
            }
            break;
        case MT_BUILT(DEPTHWISE_CONV2D):
            backward_depthwise(&b);
            break;
        case MT_BUILT(AVERAGE_POOL):
        case MT_BUILT(MAX_POOL):
        case MT_BUILT(MEAN):
            backward_pool(&b, kind == MT_MAX_POOL);
            break;
        default:
            for (uint32_t k = 0; k < 2; k++) {
                if (p->flags & MT_F_GRAD_IN0 << k) {
                    backward_move(&b, k);
                }
            }
            break;
    }
}

void mt_session_backward_op(mt_session_t *s, uint32_t i) {
    if (s->ops[i].flags & MT_F_GRAD && s->ops[i].grad_out != MT_NONE) {
        backward_op(s, i);
    }
    if (i == 0) {
        mt_next_sample(s);
    }
}

bool mt_session_has_gradient(const mt_session_t *s) {
    uint32_t width = s->logits ? 2 : mt_gradient_bytes(s->gradient_bits);
    return s->loss != MT_LOSS_NONE && (!s->plain || !all_zero(mt_arena_at(s, s->grad_top), s->classes * width));
}

void mt_session_backward(mt_session_t *s) {
    for (uint32_t i = mt_session_has_gradient(s) ? s->run_count : 0; i-- > 0;) {
        mt_session_backward_op(s, i);
    }
}
