#include "planner.h"

#include "operators.h"
#include "gradient.h"
#include "operand.h"
#include "ops/pool.h"

static bool passes_gradient(const mt_op_t *op) {
    return op->kind == MT_ADD || op->kind == MT_REQUANTIZE;
}

// ---- backward: gradients and what they need kept ----

static uint32_t gradient_bytes(const planner_t *p, uint32_t elements) {
    return elements * mt_gradient_bytes(p->plan->gradient_bits);
}

static bool gradient_is_shared(const planner_t *p, uint16_t buffer, const tensor_state_t *except) {
    for (uint32_t t = 0; t < p->m->tensor_count; t++) {
        if (&p->tensors[t] != except && p->tensors[t].root == t && p->tensors[t].gradient == buffer) {
            return true;
        }
    }
    return false;
}

// Bytes of scratch, of both halves where the operator may run in two.
static uint32_t of_halves(const planner_t *p, uint32_t bytes) {
    return p->plan->cores > 1 && bytes ? mt_second_scratch(bytes) + bytes : bytes;
}

static uint32_t backward_scratch(const planner_t *p, uint32_t index) {
    const mt_op_t *op = &p->m->ops[index];
    const mt_op_plan_t *plan = &p->plan->ops[index];
    mt_window_t w = mt_operand_window(p->m, index, plan, p->classes);
    bool mixed = plan->flags & MT_F_COMPACT, below = plan->flags & MT_F_GRAD_IN0;
    uint32_t input = 0, update = 0;
    switch ((int)op->kind) {
        case MT_LINEAR:
        case MT_CONV2D:
            if (plan->flags & MT_F_LOGITS) {
                input = mt_head_backward_input_scratch(&w, mixed);
                update = mt_head_update_scratch(&w, plan->channels);
            } else {
                input = of_halves(p, mt_conv2d_backward_input_scratch(&w));
                update = plan->channels ? mt_conv2d_update_scratch(&w, plan->channels) : 0;
            }
            break;
        case MT_BUILT(DEPTHWISE_CONV2D):
            input = of_halves(p, mt_depthwise_backward_input_scratch(&w, mixed));
            update = plan->channels ? mt_depthwise_update_scratch(&w) : 0;
            break;
        case MT_BUILT(AVERAGE_POOL):
        case MT_BUILT(MAX_POOL):
        case MT_BUILT(MEAN):
            input = mt_pool_backward_input_scratch(&w);
            break;
        default:
            break;
    }
    input = below ? input : 0;
    return input > update ? input : update;
}

static void keep(tensor_state_t *t, uint16_t until) {
    t->kept_until = until > t->kept_until ? until : t->kept_until;
}

// What the operator's update or input gradient needs of the forward pass: its whole input, or a buffer of its own, returned.
static uint16_t keep_for_backward(planner_t *p, uint32_t i) {
    const mt_op_t *op = &p->m->ops[i];
    mt_op_plan_t *plan = &p->plan->ops[i];
    const mt_tensor_t *in = &p->m->tensors[op->input[0]], *out = &p->m->tensors[op->output];
    uint16_t now = mt_backward_time(p, i);
    if (plan->flags & MT_F_COMPACT) {
        uint32_t in_c = (uint32_t)mt_operand_window(p->m, i, plan, p->classes).in_c;
        return mt_add_buffer(p, mt_tensor_size(in) / in_c * plan->channels, mt_forward_time(i), now);
    }
    if (plan->channels) {
        keep(mt_root_of(p, op->input[0]), now);
    } else if (op->kind == MT_MAX_POOL && plan->flags & MT_F_GRAD_IN0) {
        return mt_add_buffer(p, mt_tensor_size(out), mt_forward_time(i), now);
    }
    return MT_NO_BUFFER;
}

static void plan_backward_op(planner_t *p, uint32_t i, op_buffers_t *b) {
    const mt_op_t *op = &p->m->ops[i];
    mt_op_plan_t *plan = &p->plan->ops[i];
    tensor_state_t *out = mt_root_of(p, op->output);
    uint16_t now = mt_backward_time(p, i), q = out->gradient;
    uint32_t out_size = mt_tensor_size(&p->m->tensors[op->output]);
    b->grad_out = b->grad_masked = q;
    mt_extend(p, q, now);
    mt_clamp_mask_t mask = mt_operand_mask(op);
    if (mask.low || mask.high) {
        plan->flags |= MT_F_MASK;
        if (out->kept_until && op->activation != MT_ACT_RANGE) {
            keep(out, now);
        } else {
            plan->flags |= MT_F_MASK_BITS;
            b->mask = mt_add_buffer(p, (out_size + 7) / 8, mt_forward_time(i), now);
        }
        if (gradient_is_shared(p, q, out)) {
            b->grad_masked = mt_add_buffer(p, gradient_bytes(p, out_size), now, now);
        }
    }
    out->gradient = MT_NO_BUFFER;
    b->saved = keep_for_backward(p, i);
    uint32_t scratch = backward_scratch(p, i);
    if (scratch) {
        b->scratch_backward = mt_add_buffer(p, scratch, now, now);
    }
    for (uint32_t k = 0; k < mt_input_count(op); k++) {
        if (!(plan->flags & MT_F_GRAD_IN0 << k)) {
            continue;
        }
        tensor_state_t *in = mt_root_of(p, op->input[k]);
        if (passes_gradient(op) && in->gradient == MT_NO_BUFFER) {
            plan->flags |= (uint16_t)(MT_F_ALIAS0 << k);
            in->gradient = b->grad_in[k] = b->grad_masked;
            continue;
        }
        b->skip[k] = in->gradient;
        if (b->skip[k] != MT_NO_BUFFER) {
            mt_extend(p, b->skip[k], now);
        }
        in->gradient = b->grad_in[k] = mt_add_buffer(p, gradient_bytes(p, mt_tensor_size(&p->m->tensors[op->input[k]])), now, now);
    }
}

static void plan_backward(planner_t *p) {
    const mt_op_t *last = &p->m->ops[p->n - 1];
    mt_op_plan_t *plan = &p->plan->ops[p->n - 1];
    bool logits = plan->flags & MT_F_LOGITS;
    p->loss_scratch = mt_add_buffer(p, p->classes * (logits ? 4 : 10), mt_loss_time(p), mt_loss_time(p));
    p->top = mt_add_buffer(p, logits ? p->classes * 2 : gradient_bytes(p, p->classes), mt_loss_time(p), mt_loss_time(p));
    plan->flags |= logits ? MT_F_GRAD_TOP16 : 0;
    if (!(plan->flags & MT_F_GRAD)) {
        return;
    }
    mt_root_of(p, last->output)->gradient = p->top;
    for (uint32_t i = p->n; i-- > 0;) {
        const mt_op_t *op = &p->m->ops[i];
        if (op->kind == MT_RESHAPE) {
            continue; // shares memory both ways
        }
        if (p->plan->ops[i].flags & MT_F_GRAD && mt_root_of(p, op->output)->gradient != MT_NO_BUFFER) {
            plan_backward_op(p, i, &p->op_buffers[i]);
        } else {
            p->plan->ops[i].flags &= (uint16_t)~(MT_F_GRAD | MT_F_GRAD_IN0 | MT_F_GRAD_IN1); // leads nowhere
        }
    }
}

// ---- forward ----

// Of a whole output, or of one row of it.
static uint32_t forward_scratch(const planner_t *p, uint32_t index, bool row) {
    const mt_op_plan_t *plan = &p->plan->ops[index];
    mt_window_t w = mt_operand_window(p->m, index, plan, p->classes);
    w.out_h = row ? 1 : w.out_h;
    bool mixed = plan->flags & MT_F_COMPACT;
    switch ((int)p->m->ops[index].kind) {
        case MT_CONV2D:
        case MT_LINEAR:
            return plan->flags & MT_F_LOGITS ? mt_head_forward_scratch(&w, mixed) : of_halves(p, mt_conv2d_forward_scratch(&w, mixed));
        case MT_BUILT(DEPTHWISE_CONV2D):
            return of_halves(p, mt_depthwise_forward_scratch(&w, mixed));
        case MT_BUILT(SOFTMAX):
            return (uint32_t)w.out_c * 4;
        default:
            return 0;
    }
}

// Input whose memory the output may take over, or MT_NO_TENSOR.
static uint16_t overwritable_input(planner_t *p, uint32_t i) {
    const mt_op_t *op = &p->m->ops[i];
    mt_window_t w = mt_operand_window(p->m, i, &p->plan->ops[i], p->classes);
    bool able = i >= p->plan->stream_ops;
    able = able && (op->kind == MT_ADD || op->kind == MT_REQUANTIZE || (op->kind == MT_DEPTHWISE_CONV2D && mt_depthwise_may_overwrite(&w)));
    for (uint32_t k = 0; able && k < mt_input_count(op); k++) {
        tensor_state_t *in = mt_root_of(p, op->input[k]);
        if (in->last_use == mt_forward_time(i) && !in->kept_until) {
            return p->tensors[op->input[k]].root;
        }
    }
    return MT_NO_TENSOR;
}

// Operators that run row by row run at one time, which is theirs together.
static uint16_t starts(const planner_t *p, uint32_t i) {
    return mt_forward_time(i < p->plan->stream_ops ? 0 : i);
}

static uint16_t ends(const planner_t *p, uint32_t i) {
    return mt_forward_time(i < p->plan->stream_ops ? p->plan->stream_ops - 1 : i);
}

uint32_t mt_stream_scratch(const planner_t *p, uint32_t count) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t own = forward_scratch(p, i, true);
        most = own > most ? own : most;
    }
    return most;
}

// Scratch of the operators that run row by row, one for all, and what says which rows are there.
static void plan_stream_buffers(planner_t *p) {
    uint32_t n = p->plan->stream_ops, scratch = mt_stream_scratch(p, n);
    p->stream = mt_add_buffer(p, (uint32_t)((n + 1) * sizeof(mt_rows_t)), starts(p, 0), ends(p, 0));
    uint16_t shared = scratch ? mt_add_buffer(p, scratch, starts(p, 0), ends(p, 0)) : MT_NO_BUFFER;
    for (uint32_t i = 0; i < n; i++) {
        p->op_buffers[i].scratch_forward = shared;
    }
}

static void plan_forward(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        for (uint32_t k = 0; k < mt_input_count(op); k++) {
            mt_root_of(p, op->input[k])->last_use = ends(p, i);
        }
        mt_root_of(p, op->output)->last_use = ends(p, i);
    }
    mt_root_of(p, p->m->ops[p->n - 1].output)->last_use = mt_loss_time(p);
    tensor_state_t *input = mt_root_of(p, p->m->input);
    uint16_t arrives = p->plan->input_rows ? starts(p, 0) : 0;
    input->buffer = mt_add_buffer(p, mt_rows_bytes(p, p->m->input, p->plan->input_rows), arrives, arrives);
    if (p->plan->stream_ops) {
        plan_stream_buffers(p);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        uint16_t now = mt_forward_time(i);
        uint32_t scratch = i < p->plan->stream_ops ? 0 : forward_scratch(p, i, false);
        if (scratch) {
            p->op_buffers[i].scratch_forward = mt_add_buffer(p, scratch, now, now);
        }
        tensor_state_t *out = mt_root_of(p, op->output);
        if (op->kind == MT_RESHAPE) {
            continue;
        }
        bool logits = p->plan->ops[i].flags & MT_F_LOGITS;
        uint32_t size = logits ? p->classes * 4 : mt_rows_bytes(p, op->output, p->plan->ops[i].rows);
        uint16_t source = overwritable_input(p, i);
        if (source == MT_NO_TENSOR) {
            out->buffer = mt_add_buffer(p, size, starts(p, i), ends(p, i));
            continue;
        }
        uint16_t from = p->tensors[source].buffer; // the output follows in the same place
        out->buffer = mt_add_buffer(p, size, (uint16_t)(now + 1), (uint16_t)(now + 1));
        mt_extend(p, from, now);
        p->buffers[out->buffer].leader = p->buffers[from].leader;
        p->buffers[from].next = out->buffer;
    }
    for (uint32_t t = 0; t < p->m->tensor_count; t++) {
        tensor_state_t *s = &p->tensors[t];
        if (s->root == t && s->buffer != MT_NO_BUFFER) {
            mt_extend(p, s->buffer, s->last_use > s->kept_until ? s->last_use : s->kept_until);
        }
    }
}

void mt_plan_lifetimes(planner_t *p) {
    if (p->scheme->loss != MT_LOSS_NONE) {
        plan_backward(p);
    }
    plan_forward(p);
}
