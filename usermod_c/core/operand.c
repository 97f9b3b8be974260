#include "operand.h"

#include "fixed.h"
#include "scale.h"

#define SUMMED_PIXELS 16

uint32_t mt_operand_rows(const mt_model_t *m, uint32_t op, const mt_op_plan_t *p, uint32_t classes) {
    return p->flags & MT_F_NEW ? classes : m->tensors[m->ops[op].output].c;
}

mt_window_t mt_operand_window(const mt_model_t *m, uint32_t index, const mt_op_plan_t *p, uint32_t classes) {
    const mt_op_t *op = &m->ops[index];
    const mt_tensor_t *in = &m->tensors[op->input[0]], *out = &m->tensors[op->output];
    mt_window_t w = {
        .in_h = in->h, .in_w = in->w, .in_c = (int32_t)in->c, .out_h = out->h, .out_w = out->w, .out_c = (int32_t)out->c,
        .kernel_h = op->kernel_h, .kernel_w = op->kernel_w, .stride_h = op->stride_h, .stride_w = op->stride_w,
        .pad_top = op->pad_top, .pad_left = op->pad_left, .in_zero = in->zero_point, .out_zero = out->zero_point,
        .act_min = op->act_min, .act_max = op->act_max, .round_once = op->rounding,
    };
    if (op->kind == MT_LINEAR) {
        w.in_c = (int32_t)mt_tensor_size(in);
        w.in_h = w.in_w = w.kernel_h = w.kernel_w = w.stride_h = w.stride_w = 1;
        w.pad_top = w.pad_left = 0;
        w.out_c = (int32_t)mt_operand_rows(m, index, p, classes);
    } else if (op->kind == MT_MEAN) { // one window over everything
        w.kernel_h = w.in_h;
        w.kernel_w = w.in_w;
        w.stride_h = w.stride_w = 1;
        w.pad_top = w.pad_left = 0;
    } else if (op->kind >= MT_ADD && op->kind != MT_AVERAGE_POOL && op->kind != MT_MAX_POOL) { // no window: the image may say anything
        w.kernel_h = w.kernel_w = w.stride_h = w.stride_w = 1;
        if (op->kind != MT_PAD) {
            w.pad_top = w.pad_left = 0;
        }
    }
    return w;
}

mt_clamp_mask_t mt_operand_mask(const mt_op_t *op) {
    return (mt_clamp_mask_t) {op->act_min, op->act_max, op->activation != MT_ACT_NONE,
                              op->activation > MT_ACT_RELU};
}

static uint32_t take(uint32_t *used, uint32_t bytes) {
    uint32_t at = *used;
    *used = mt_align(at + bytes, 4);
    return at;
}

mt_state_layout_t mt_operand_layout(const mt_model_t *m, uint32_t index, const mt_op_plan_t *p, uint32_t classes) {
    const mt_op_t *op = &m->ops[index];
    mt_window_t w = mt_operand_window(m, index, p, classes);
    uint32_t rows = (uint32_t)w.out_c, taps = (uint32_t)(w.kernel_h * w.kernel_w);
    bool head = p->flags & MT_F_LOGITS;
    mt_state_layout_t l = {0};
    bool depthwise = op->kind == MT_DEPTHWISE_CONV2D;
    uint32_t weight_rows = depthwise ? p->channels * op->channel_multiplier : p->channels ? rows : 0;
    l.trained_weights = weight_rows * taps * (depthwise ? 1 : p->channels);
    l.scale = take(&l.state_bytes, head && p->channels ? rows * 4 : 0);
    l.master = take(&l.state_bytes, p->flags & MT_F_BIAS ? rows * 4 : 0);
    l.weights = take(&l.state_bytes, l.trained_weights);
    l.fraction = take(&l.state_bytes, p->flags & MT_F_WIDE ? l.trained_weights : 0);
    uint32_t bias_rows = p->flags & MT_F_BIAS ? rows : 0;
    l.velocity = take(&l.state_bytes, l.trained_weights * mt_velocity_bytes(p));
    l.velocity_exponents = take(&l.state_bytes, mt_velocity_bytes(p) ? weight_rows : 0);
    l.bias_velocity = take(&l.state_bytes, bias_rows * mt_velocity_bytes(p));
    l.bias_exponents = take(&l.state_bytes, mt_velocity_bytes(p) ? bias_rows : 0);
    // Where an output row has many pixels, summing its weights anew costs less than its memory is worth.
    bool few = op->kind != MT_DEPTHWISE_CONV2D && w.out_h * w.out_w < SUMMED_PIXELS;
    l.zero_sum = take(&l.derived_bytes, p->channels && few ? rows * 4 : 0);
    l.mult = take(&l.derived_bytes, head ? rows * 4 : 0);
    l.shift = take(&l.derived_bytes, head ? rows : 0);
    return l;
}

static mt_conv_t operand(const mt_session_t *s, uint32_t index, const mt_state_layout_t *l) {
    const mt_model_t *m = s->model;
    const mt_op_t *op = &m->ops[index];
    const mt_op_plan_t *p = &s->ops[index];
    const uint8_t *base = p->flags & MT_F_NEW ? NULL : m->base;
    uint8_t *state = s->state + p->state, *derived = s->derived + p->derived;
    mt_conv_t c = {.window = mt_operand_window(m, index, p, s->classes)};
    c.weights.taps = c.window.kernel_h * c.window.kernel_w;
    c.end = c.window.out_c;
    c.weights.in_c = c.window.in_c;
    c.weights.count = p->channels;
    c.mask = op->activation == MT_ACT_RANGE ? mt_arena_at(s, p->mask) : NULL;
    if (base) {
        c.weights.frozen = (const int8_t *)(base + op->weights);
        c.channels.bias = (const int32_t *)(base + op->bias);
        c.channels.fold = (const int32_t *)(base + op->fold);
        c.channels.mult = (const int32_t *)(base + op->mult);
        c.channels.shift = (const int8_t *)(base + op->shift);
        c.channels.scale = (const float *)(base + op->weight_scale);
    }
    if (p->channels) {
        c.weights.trained = (int8_t *)(state + l->weights);
        c.weights.channels = p->list == MT_NONE ? NULL : s->lists + p->list;
        c.channels.zero_sum = l->mult > l->zero_sum ? (int32_t *)(derived + l->zero_sum) : NULL;
    }
    if (p->flags & MT_F_WIDE) {
        c.weights.fraction = (int8_t *)(state + l->fraction);
    }
    if (p->flags & MT_F_BIAS) {
        c.channels.master = (int32_t *)(state + l->master);
    }
    return c;
}

static void find_largest_scale(mt_channels_t *c, int32_t rows) {
    for (int32_t o = 0; o < rows; o++) {
        c->largest_scale = c->scale[o] > c->largest_scale ? c->scale[o] : c->largest_scale;
    }
    c->scale_exponent = mt_ceil_log2(c->largest_scale);
}

mt_conv_t mt_operand_conv(const mt_session_t *s, uint32_t op, bool scales) {
    mt_state_layout_t l = mt_operand_layout(s->model, op, &s->ops[op], s->classes);
    mt_conv_t c = operand(s, op, &l);
    if (scales) {
        find_largest_scale(&c.channels, c.window.out_c);
    }
    return c;
}

mt_depthwise_t mt_operand_depthwise(const mt_session_t *s, uint32_t op, bool scales) {
    mt_conv_t c = mt_operand_conv(s, op, scales);
    mt_depthwise_t d = {c.window, c.weights, c.channels, c.mask, s->model->ops[op].channel_multiplier, 0, c.window.in_c};
    d.weights.in_c = c.window.out_c;
    d.weights.count *= d.multiplier;
    return d;
}

mt_head_t mt_operand_head(const mt_session_t *s, uint32_t op, bool scales) {
    mt_state_layout_t l = mt_operand_layout(s->model, op, &s->ops[op], s->classes);
    mt_conv_t c = operand(s, op, &l);
    uint8_t *derived = s->derived + s->ops[op].derived;
    mt_head_t h = {c.window, c.weights, c.channels, NULL, (int32_t *)(derived + l.mult), (int8_t *)(derived + l.shift)};
    if (s->ops[op].channels) {
        h.channels.scale = h.scale = (float *)(s->state + s->ops[op].state + l.scale);
    }
    if (scales) {
        find_largest_scale(&h.channels, h.window.out_c);
    }
    return h;
}
