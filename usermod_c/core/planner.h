// What the parts of the planner share. Time: 0 input, i + 1 forward of operator i, n + 1 loss, 2n + 1 - i backward of operator i,
// for n executed operators.
#ifndef MT_PLANNER_H
#define MT_PLANNER_H

#include "arena.h"
#include "error.h"
#include "microtrain.h"
#include "stream.h"

typedef struct { // one activation tensor; reshapes share their input's entry
    uint16_t root; // tensor whose memory this is
    uint16_t producer; // operator, 0xFFFF for the input
    uint16_t last_use; // forward
    uint16_t kept_until; // backward, 0: not kept
    uint16_t buffer;
    uint16_t gradient; // buffer of the gradient collected so far
} tensor_state_t;

typedef struct { // buffers of one operator, until their offsets are known
    uint16_t mask, saved, scratch_forward, scratch_backward, grad_out, grad_masked, grad_in[2], skip[2];
} op_buffers_t;

typedef struct {
    const mt_model_t *m;
    const mt_scheme_t *scheme;
    mt_plan_t *plan;
    mt_error_t *error;
    mt_buffer_t *buffers;
    uint32_t buffer_count;
    tensor_state_t *tensors;
    uint32_t n; // executed operators
    uint32_t classes;
    op_buffers_t *op_buffers; // one an operator
    uint16_t top, loss_scratch; // buffers of the loss
    uint16_t stream; // buffer of the rows that are there
} planner_t;

static inline uint16_t mt_forward_time(uint32_t op) {
    return (uint16_t)(op + 1);
}

static inline uint16_t mt_loss_time(const planner_t *p) {
    return (uint16_t)(p->n + 1);
}

static inline uint16_t mt_backward_time(const planner_t *p, uint32_t op) {
    return (uint16_t)(2 * p->n + 1 - op);
}

static inline tensor_state_t *mt_root_of(planner_t *p, uint16_t tensor) {
    return &p->tensors[p->tensors[tensor].root];
}

static inline uint16_t mt_add_buffer(planner_t *p, uint32_t size, uint16_t start, uint16_t end) {
    uint16_t id = (uint16_t)p->buffer_count++;
    p->buffers[id] = (mt_buffer_t) {0, size, start, end, id, MT_NO_BUFFER};
    return id;
}

static inline void mt_extend(planner_t *p, uint16_t buffer, uint16_t end) {
    if (p->buffers[buffer].end < end) {
        p->buffers[buffer].end = end;
    }
}

// plan_scheme.c: what runs, what is trained, where gradients must flow. Each returns MT_OK or a negative code.
int mt_plan_scheme(planner_t *p);
// plan_lifetime.c: every buffer with its life, backward first, because it says what forward must keep.
void mt_plan_lifetimes(planner_t *p);
// Most scratch bytes that the forward pass of one of the first `count` operators takes.
uint32_t mt_stream_scratch(const planner_t *p, uint32_t count);
// plan_stream.c: given a plan without rows and its lower bound, finds plan->stream_ops and the rows of their outputs; whether any. `rows` is scratch, one more than operators.
bool mt_plan_stream(planner_t *p, uint32_t bound, mt_rows_t *rows);
// Bytes of `rows` rows of a tensor; 0: of all.
uint32_t mt_rows_bytes(const planner_t *p, uint16_t tensor, uint32_t rows);

#endif // MT_PLANNER_H
