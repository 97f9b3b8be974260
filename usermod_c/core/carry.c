// What one session has trained, taken over by another: a scheme may grow while training goes on.
#include <string.h>

#include "error.h"
#include "operand.h"

static bool same_channels(const mt_session_t *a, const mt_session_t *b, uint32_t op) {
    const mt_op_plan_t *p = &a->ops[op], *q = &b->ops[op];
    if (p->channels != q->channels || (p->list == MT_NONE) != (q->list == MT_NONE)) {
        return false;
    }
    return p->list == MT_NONE || !memcmp(a->lists + p->list, b->lists + q->list, p->channels * 2u);
}

// A partly trained operator fits one that is trained whole.
static bool is_widened(const mt_session_t *to, const mt_session_t *from, uint32_t op) {
    return from->ops[op].channels && to->ops[op].channels && from->ops[op].channels != to->ops[op].channels
        && !(to->ops[op].flags & MT_F_COMPACT);
}

static bool fits(const mt_session_t *to, const mt_session_t *from, uint32_t op) {
    if (op >= to->run_count) {
        return false;
    }
    const mt_op_plan_t *p = &from->ops[op], *q = &to->ops[op];
    const uint16_t head = MT_F_LOGITS | MT_F_NEW;
    if ((p->flags & head) != (q->flags & head) || (p->flags & MT_F_NEW && from->classes != to->classes)
        || (p->channels && p->flags & MT_F_WIDE && !(q->flags & MT_F_WIDE))) {
        return false;
    }
    if (p->flags & MT_F_BIAS && !(q->flags & MT_F_BIAS)) {
        return false;
    }
    return !p->channels || same_channels(from, to, op) || is_widened(to, from, op);
}

// Rows of a partly trained operator into whole ones.
static void copy_widened(const mt_session_t *to, const mt_session_t *from, uint32_t op) {
    mt_conv_t f = mt_operand_conv(from, op, true), t = mt_operand_conv(to, op, true);
    bool depthwise = to->model->ops[op].kind == MT_DEPTHWISE_CONV2D;
    int32_t multiplier = depthwise ? to->model->ops[op].channel_multiplier : 1;
    int32_t rows = (depthwise ? 1 : t.window.out_c) * t.weights.taps;
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t j = 0; j < f.weights.count * multiplier; j++) {
            int32_t channel = mt_weights_channel(&f.weights, j / multiplier) * multiplier + j % multiplier;
            t.weights.trained[r * t.weights.in_c * multiplier + channel] = f.weights.trained[r * f.weights.count * multiplier + j];
        }
    }
}

static void copy_op(mt_session_t *to, const mt_session_t *from, uint32_t op) {
    const mt_op_plan_t *p = &from->ops[op], *q = &to->ops[op];
    mt_state_layout_t a = mt_operand_layout(from->model, op, p, from->classes), b = mt_operand_layout(to->model, op, q, to->classes);
    const uint8_t *source = from->state + p->state;
    uint8_t *target = to->state + q->state;
    if (p->channels && p->flags & MT_F_LOGITS) {
        memcpy(target + b.scale, source + a.scale, a.master - a.scale);
    }
    if (p->flags & MT_F_BIAS) {
        memcpy(target + b.master, source + a.master, a.weights - a.master);
    }
    if (is_widened(to, from, op)) {
        copy_widened(to, from, op);
    } else {
        memcpy(target + b.weights, source + a.weights, a.velocity - a.weights); // with their fractions, if they have any
    }
}

int mt_session_carry(mt_session_t *to, const mt_session_t *from, mt_error_t *error) {
    for (uint32_t i = 0; i < from->run_count; i++) { // look first, so that a refusal changes nothing
        if (mt_is_trained(&from->ops[i]) && !fits(to, from, i)) {
            return mt_fail(error, MT_ERR_SCHEME, (int32_t)i, from->ops[i].channels, i < to->run_count ? to->ops[i].channels : 0);
        }
    }
    for (uint32_t i = 0; i < from->run_count; i++) {
        if (mt_is_trained(&from->ops[i])) {
            copy_op(to, from, i);
        }
    }
    mt_session_refresh(to);
    return MT_OK;
}
