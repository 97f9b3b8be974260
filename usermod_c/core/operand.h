// From (image, plan, block) to what the operators take.
#ifndef MT_OPERAND_H
#define MT_OPERAND_H

#include "ops/depthwise_conv2d.h"
#include "ops/linear.h"

// Shapes and clamp of an operator. A linear one is a 1x1 convolution of a 1x1 map; a new head has `classes` outputs.
mt_window_t mt_operand_window(const mt_model_t *m, uint32_t op, const mt_op_plan_t *p, uint32_t classes);
// Output channels of an operator with weights.
uint32_t mt_operand_rows(const mt_model_t *m, uint32_t op, const mt_op_plan_t *p, uint32_t classes);
// The clamp sides that stop a gradient.
mt_clamp_mask_t mt_operand_mask(const mt_op_t *op);

// Bytes of one trained parameter's velocity.
static inline uint32_t mt_velocity_bytes(const mt_op_plan_t *p) {
    return p->flags >> MT_F_VELOCITY_SHIFT;
}

static inline bool mt_is_trained(const mt_op_plan_t *p) {
    return p->channels || p->flags & MT_F_BIAS;
}

// Memory at an arena offset; NULL for MT_NONE.
static inline void *mt_arena_at(const mt_session_t *s, uint32_t offset) {
    uint32_t k = MT_REGIONS - 1;
    while (k > 0 && offset < s->region_start[k]) {
        k--;
    }
    return offset == MT_NONE ? NULL : s->arena[k] + (offset - s->region_start[k]);
}

// Scratch of an operator; never NULL, from which C counts no offsets.
static inline void *mt_arena_scratch(const mt_session_t *s, uint32_t offset) {
    return mt_arena_at(s, offset == MT_NONE ? 0 : offset);
}

// Where the trained tensors of one operator lie in the state and derived parts; bytes, from the operator's start.
typedef struct {
    uint32_t scale, master, weights, fraction; // f32, i32, i8, i8
    uint32_t velocity, velocity_exponents, bias_velocity, bias_exponents, state_bytes; // of momentum.h; bytes of a mantissa as planned, i8
    uint32_t zero_sum, mult, shift, derived_bytes; // i32, i32, i8
    uint32_t trained_weights;
} mt_state_layout_t;
mt_state_layout_t mt_operand_layout(const mt_model_t *m, uint32_t op, const mt_op_plan_t *p, uint32_t classes);

// scales: with the largest weight scale, which takes a look at all of them; forward passes do without.
mt_conv_t mt_operand_conv(const mt_session_t *s, uint32_t op, bool scales);
mt_depthwise_t mt_operand_depthwise(const mt_session_t *s, uint32_t op, bool scales);
mt_head_t mt_operand_head(const mt_session_t *s, uint32_t op, bool scales);

// Where the second half's scratch begins, when an operator of `bytes` scratch runs in two halves.
static inline uint32_t mt_second_scratch(uint32_t bytes) {
    return mt_align(bytes, MT_ALIGN);
}

#endif // MT_OPERAND_H
