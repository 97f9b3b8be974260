// (image, scheme) -> schedule: which gradients flow, what is kept for them, when every buffer lives, and where it lies.
//
// Time: 0 input, i + 1 forward of operator i, n + 1 loss, 2n + 1 - i backward of operator i, for n executed operators.
#include <string.h>

#include "arena.h"
#include "fixed.h"
#include "gradient.h"
#include "microtrain.h"
#include "operand.h"
#include "ops/elementwise.h"
#include "ops/loss.h"
#include "ops/pool.h"

#define BUFFERS_PER_OP 9
#define BUFFERS_EXTRA 4

typedef struct { // one activation tensor; reshapes share their input's entry
    uint16_t root; // tensor whose memory this is
    uint16_t producer; // operator, 0xFFFF for the input
    uint16_t last_use; // forward
    uint16_t kept_until; // backward, 0: not kept
    uint16_t buffer;
    uint16_t gradient; // buffer of the gradient collected so far
} tensor_state_t;

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
} planner_t;

static int fail(planner_t *p, int code, int32_t op, uint32_t need, uint32_t have) {
    if (p->error) {
        *p->error = (mt_error_t) {code, op, need, have};
    }
    return code;
}

static uint16_t forward_time(uint32_t op) {
    return (uint16_t)(op + 1);
}

static uint16_t loss_time(const planner_t *p) {
    return (uint16_t)(p->n + 1);
}

static uint16_t backward_time(const planner_t *p, uint32_t op) {
    return (uint16_t)(2 * p->n + 1 - op);
}

static uint16_t add_buffer(planner_t *p, uint32_t size, uint16_t start, uint16_t end) {
    uint16_t id = (uint16_t)p->buffer_count++;
    p->buffers[id] = (mt_buffer_t) {0, size, start, end, id, MT_NO_BUFFER};
    return id;
}

static void extend(planner_t *p, uint16_t buffer, uint16_t end) {
    if (p->buffers[buffer].end < end) {
        p->buffers[buffer].end = end;
    }
}

static tensor_state_t *root_of(planner_t *p, uint16_t tensor) {
    return &p->tensors[p->tensors[tensor].root];
}

static uint32_t input_count(const mt_op_t *op) {
    return op->kind == MT_ADD ? 2 : 1;
}

static bool passes_gradient(const mt_op_t *op) {
    return op->kind == MT_ADD || op->kind == MT_REQUANTIZE;
}

// ---- what runs, what is trained ----

// Executed operators: with a loss, the final softmax is left out, and whatever only reshapes the head's output.
static void find_end(planner_t *p) {
    const mt_model_t *m = p->m;
    p->n = m->op_count;
    p->classes = mt_tensor_size(&m->tensors[m->ops[p->n - 1].output]);
    if (p->scheme->loss == MT_LOSS_NONE) {
        return;
    }
    while (p->n > 1 && (m->ops[p->n - 1].kind == MT_SOFTMAX || m->ops[p->n - 1].kind == MT_RESHAPE)
           && m->ops[p->n - 2].output == m->ops[p->n - 1].input[0]) {
        p->n--;
    }
    const mt_op_t *last = &m->ops[p->n - 1];
    if (last->kind == MT_LINEAR && last->activation == MT_ACT_NONE && last->act_min == -128 && last->act_max == 127) {
        p->plan->ops[p->n - 1].flags |= MT_F_LOGITS;
    }
}

static int set_new_head(planner_t *p) {
    uint32_t classes = p->scheme->new_classes;
    if (!classes) {
        return MT_OK;
    }
    mt_op_plan_t *head = &p->plan->ops[p->n - 1];
    if (p->scheme->loss == MT_LOSS_NONE || !(head->flags & MT_F_LOGITS)) {
        return fail(p, MT_ERR_HEAD, (int32_t)p->n - 1, MT_LINEAR, p->m->ops[p->n - 1].kind);
    }
    if (classes > 65535) {
        return fail(p, MT_ERR_VALUE, (int32_t)p->n - 1, 65535, classes);
    }
    head->flags |= MT_F_NEW;
    p->classes = classes;
    return MT_OK;
}

static int copy_channel_list(planner_t *p, uint32_t index, const mt_layer_scheme_t *layer, uint32_t in_c) {
    mt_op_plan_t *op = &p->plan->ops[index];
    op->list = p->plan->list_count;
    for (uint32_t i = 0; i < layer->channels; i++) {
        if (layer->list[i] >= in_c || (i && layer->list[i] <= layer->list[i - 1])) {
            return fail(p, MT_ERR_SCHEME, (int32_t)index, in_c, layer->list[i]);
        }
        p->plan->lists[p->plan->list_count++] = layer->list[i];
    }
    return MT_OK;
}

static int read_scheme(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        mt_op_plan_t *op = &p->plan->ops[i];
        const mt_layer_scheme_t none = {0}, *layer = p->scheme->layers ? &p->scheme->layers[i] : &none;
        uint8_t kind = p->m->ops[i].kind;
        bool trained = layer->bias || layer->channels;
        if (trained && (p->scheme->loss == MT_LOSS_NONE || (kind != MT_CONV2D && kind != MT_DEPTHWISE_CONV2D && kind != MT_LINEAR))) {
            return fail(p, MT_ERR_SCHEME, (int32_t)i, MT_LINEAR, kind);
        }
        mt_window_t w = mt_operand_window(p->m, i, op, p->classes);
        if (layer->channels > (uint32_t)w.in_c || layer->channels > 65535) {
            return fail(p, MT_ERR_SCHEME, (int32_t)i, (uint32_t)w.in_c, layer->channels);
        }
        if (op->flags & MT_F_NEW && (layer->channels != (uint32_t)w.in_c || !layer->bias)) {
            return fail(p, MT_ERR_SCHEME, (int32_t)i, (uint32_t)w.in_c, layer->channels); // nothing in the image to fall back on
        }
        op->channels = (uint16_t)layer->channels;
        op->flags |= layer->bias ? MT_F_BIAS : 0;
        if (layer->channels && layer->channels < (uint32_t)w.in_c) {
            op->flags |= MT_F_COMPACT;
            int code = layer->list ? copy_channel_list(p, i, layer, (uint32_t)w.in_c) : MT_OK;
            if (code) {
                return code;
            }
        }
        // weight gradient: every output pixel adds |q| <= 127 times |x - zero| <= 255
        uint32_t pixels = (uint32_t)(w.out_h * w.out_w), most = INT32_MAX / (127 * 255);
        if (trained && pixels > most) {
            return fail(p, MT_ERR_LIMIT, (int32_t)i, pixels, most);
        }
    }
    return MT_OK;
}

// Marks the operators that a gradient must reach: trained ones, and those on the way down to one.
static int mark_gradients(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        mt_op_plan_t *plan = &p->plan->ops[i];
        bool below = false;
        for (uint32_t k = 0; k < input_count(op); k++) {
            uint16_t producer = root_of(p, op->input[k])->producer;
            if (producer != MT_NO_TENSOR && p->plan->ops[producer].flags & MT_F_GRAD) {
                plan->flags |= (uint16_t)(MT_F_GRAD_IN0 << k);
                below = true;
            }
        }
        if (below || plan->channels || plan->flags & MT_F_BIAS) {
            plan->flags |= MT_F_GRAD;
        }
        if (!below) {
            continue;
        }
        mt_window_t w = mt_operand_window(p->m, i, plan, p->classes);
        uint32_t terms = 0, most = 520u << 8;
        if (op->kind == MT_CONV2D || op->kind == MT_LINEAR) {
            terms = mt_conv2d_backward_terms(&w);
        } else if (op->kind == MT_AVERAGE_POOL) {
            terms = mt_pool_backward_terms(&w);
            most = 256;
        } else if (op->kind == MT_MAX_POOL) {
            terms = (uint32_t)(w.kernel_h * w.kernel_w); // window positions fit a byte
            most = 256;
        } else if (op->kind == MT_SOFTMAX) {
            return fail(p, MT_ERR_SCHEME, (int32_t)i, MT_LINEAR, op->kind);
        }
        if (terms > most) {
            return fail(p, MT_ERR_LIMIT, (int32_t)i, terms, most);
        }
    }
    return MT_OK;
}

// ---- backward: gradients and what they need kept ----

static bool gradient_is_shared(const planner_t *p, uint16_t buffer, const tensor_state_t *except) {
    for (uint32_t t = 0; t < p->m->tensor_count; t++) {
        if (&p->tensors[t] != except && p->tensors[t].root == t && p->tensors[t].gradient == buffer) {
            return true;
        }
    }
    return false;
}

static uint32_t backward_scratch(const planner_t *p, uint32_t index) {
    const mt_op_t *op = &p->m->ops[index];
    const mt_op_plan_t *plan = &p->plan->ops[index];
    mt_window_t w = mt_operand_window(p->m, index, plan, p->classes);
    bool mixed = plan->flags & MT_F_COMPACT, below = plan->flags & MT_F_GRAD_IN0;
    uint32_t input = 0, update = 0;
    switch (op->kind) {
        case MT_LINEAR:
        case MT_CONV2D:
            if (plan->flags & MT_F_LOGITS) {
                input = mt_head_backward_input_scratch(&w, mixed);
                update = mt_head_update_scratch(&w, plan->channels);
            } else {
                input = mt_conv2d_backward_input_scratch(&w, mixed);
                update = plan->channels ? mt_conv2d_update_scratch(&w, plan->channels) : 0;
            }
            break;
        case MT_DEPTHWISE_CONV2D:
            input = mt_depthwise_backward_input_scratch(&w, mixed);
            update = plan->channels ? mt_depthwise_update_scratch(&w) : 0;
            break;
        case MT_AVERAGE_POOL:
        case MT_MAX_POOL:
        case MT_MEAN:
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
    uint16_t now = backward_time(p, i);
    if (plan->flags & MT_F_COMPACT) {
        uint32_t in_c = (uint32_t)mt_operand_window(p->m, i, plan, p->classes).in_c;
        return add_buffer(p, mt_tensor_size(in) / in_c * plan->channels, forward_time(i), now);
    }
    if (plan->channels) {
        keep(root_of(p, op->input[0]), now);
    } else if (op->kind == MT_MAX_POOL && plan->flags & MT_F_GRAD_IN0) {
        return add_buffer(p, mt_tensor_size(out), forward_time(i), now);
    }
    return MT_NO_BUFFER;
}

typedef struct { // buffers of one operator, until their offsets are known
    uint16_t mask, saved, scratch_forward, scratch_backward, grad_out, grad_masked, grad_in[2], skip[2];
} op_buffers_t;

static void plan_backward_op(planner_t *p, uint32_t i, op_buffers_t *b) {
    const mt_op_t *op = &p->m->ops[i];
    mt_op_plan_t *plan = &p->plan->ops[i];
    tensor_state_t *out = root_of(p, op->output);
    uint16_t now = backward_time(p, i), q = out->gradient;
    uint32_t out_size = mt_tensor_size(&p->m->tensors[op->output]);
    b->grad_out = b->grad_masked = q;
    extend(p, q, now);
    mt_clamp_mask_t mask = mt_operand_mask(op);
    if (mask.low || mask.high) {
        plan->flags |= MT_F_MASK;
        if (out->kept_until && op->activation != MT_ACT_RANGE) {
            keep(out, now);
        } else {
            plan->flags |= MT_F_MASK_BITS;
            b->mask = add_buffer(p, (out_size + 7) / 8, forward_time(i), now);
        }
        if (gradient_is_shared(p, q, out)) {
            b->grad_masked = add_buffer(p, out_size, now, now);
        }
    }
    out->gradient = MT_NO_BUFFER;
    b->saved = keep_for_backward(p, i);
    uint32_t scratch = backward_scratch(p, i);
    if (scratch) {
        b->scratch_backward = add_buffer(p, scratch, now, now);
    }
    for (uint32_t k = 0; k < input_count(op); k++) {
        if (!(plan->flags & MT_F_GRAD_IN0 << k)) {
            continue;
        }
        tensor_state_t *in = root_of(p, op->input[k]);
        if (passes_gradient(op) && in->gradient == MT_NO_BUFFER) {
            plan->flags |= (uint16_t)(MT_F_ALIAS0 << k);
            in->gradient = b->grad_in[k] = b->grad_masked;
            continue;
        }
        b->skip[k] = in->gradient;
        if (b->skip[k] != MT_NO_BUFFER) {
            extend(p, b->skip[k], now);
        }
        in->gradient = b->grad_in[k] = add_buffer(p, mt_tensor_size(&p->m->tensors[op->input[k]]), now, now);
    }
}

static void plan_backward(planner_t *p, op_buffers_t *buffers, uint16_t *top, uint16_t *loss_scratch) {
    const mt_op_t *last = &p->m->ops[p->n - 1];
    mt_op_plan_t *plan = &p->plan->ops[p->n - 1];
    bool logits = plan->flags & MT_F_LOGITS;
    *loss_scratch = add_buffer(p, p->classes * (logits ? 4 : 10), loss_time(p), loss_time(p));
    *top = add_buffer(p, p->classes * (logits ? 2 : 1), loss_time(p), loss_time(p));
    plan->flags |= logits ? MT_F_GRAD_TOP16 : 0;
    if (!(plan->flags & MT_F_GRAD)) {
        return;
    }
    root_of(p, last->output)->gradient = *top;
    for (uint32_t i = p->n; i-- > 0;) {
        const mt_op_t *op = &p->m->ops[i];
        if (op->kind == MT_RESHAPE) {
            continue; // shares memory both ways
        }
        if (p->plan->ops[i].flags & MT_F_GRAD && root_of(p, op->output)->gradient != MT_NO_BUFFER) {
            plan_backward_op(p, i, &buffers[i]);
        } else {
            p->plan->ops[i].flags &= (uint16_t)~(MT_F_GRAD | MT_F_GRAD_IN0 | MT_F_GRAD_IN1); // leads nowhere
        }
    }
}

// ---- forward ----

static uint32_t forward_scratch(const planner_t *p, uint32_t index) {
    const mt_op_plan_t *plan = &p->plan->ops[index];
    mt_window_t w = mt_operand_window(p->m, index, plan, p->classes);
    bool mixed = plan->flags & MT_F_COMPACT;
    switch (p->m->ops[index].kind) {
        case MT_CONV2D:
        case MT_LINEAR:
            return plan->flags & MT_F_LOGITS ? mt_head_forward_scratch(&w, mixed) : mt_conv2d_forward_scratch(&w, mixed);
        case MT_DEPTHWISE_CONV2D:
            return mt_depthwise_forward_scratch(&w, mixed);
        case MT_SOFTMAX:
            return (uint32_t)w.out_c * 4;
        default:
            return 0;
    }
}

// Input whose memory the output may take over, or MT_NO_TENSOR.
static uint16_t overwritable_input(planner_t *p, uint32_t i) {
    const mt_op_t *op = &p->m->ops[i];
    mt_window_t w = mt_operand_window(p->m, i, &p->plan->ops[i], p->classes);
    bool able = op->kind == MT_ADD || op->kind == MT_REQUANTIZE || (op->kind == MT_DEPTHWISE_CONV2D && mt_depthwise_may_overwrite(&w));
    for (uint32_t k = 0; able && k < input_count(op); k++) {
        tensor_state_t *in = root_of(p, op->input[k]);
        if (in->last_use == forward_time(i) && !in->kept_until) {
            return p->tensors[op->input[k]].root;
        }
    }
    return MT_NO_TENSOR;
}

static void plan_forward(planner_t *p, op_buffers_t *buffers) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        for (uint32_t k = 0; k < input_count(op); k++) {
            root_of(p, op->input[k])->last_use = forward_time(i);
        }
        root_of(p, op->output)->last_use = forward_time(i);
    }
    root_of(p, p->m->ops[p->n - 1].output)->last_use = loss_time(p);
    tensor_state_t *input = root_of(p, p->m->input);
    input->buffer = add_buffer(p, mt_tensor_size(&p->m->tensors[p->m->input]), 0, 0);
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        uint16_t now = forward_time(i);
        uint32_t scratch = forward_scratch(p, i);
        if (scratch) {
            buffers[i].scratch_forward = add_buffer(p, scratch, now, now);
        }
        tensor_state_t *out = root_of(p, op->output);
        if (op->kind == MT_RESHAPE) {
            continue;
        }
        bool logits = p->plan->ops[i].flags & MT_F_LOGITS;
        uint32_t size = logits ? p->classes * 4 : mt_tensor_size(&p->m->tensors[op->output]);
        uint16_t source = overwritable_input(p, i);
        if (source == MT_NO_TENSOR) {
            out->buffer = add_buffer(p, size, now, now);
            continue;
        }
        uint16_t from = p->tensors[source].buffer; // the output follows in the same place
        out->buffer = add_buffer(p, size, (uint16_t)(now + 1), (uint16_t)(now + 1));
        extend(p, from, now);
        p->buffers[out->buffer].leader = p->buffers[from].leader;
        p->buffers[from].next = out->buffer;
    }
    for (uint32_t t = 0; t < p->m->tensor_count; t++) {
        tensor_state_t *s = &p->tensors[t];
        if (s->root == t && s->buffer != MT_NO_BUFFER) {
            extend(p, s->buffer, s->last_use > s->kept_until ? s->last_use : s->kept_until);
        }
    }
}

// ---- results ----

static uint32_t offset_of(const planner_t *p, uint16_t buffer) {
    return buffer == MT_NO_BUFFER ? MT_NONE : p->buffers[buffer].offset;
}

static void write_offsets(planner_t *p, const op_buffers_t *buffers) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        mt_op_plan_t *plan = &p->plan->ops[i];
        const op_buffers_t *b = &buffers[i];
        plan->flags |= MT_F_RUN;
        plan->out_root = p->tensors[op->output].root;
        for (uint32_t k = 0; k < 2; k++) {
            plan->in_root[k] = k < input_count(op) ? p->tensors[op->input[k]].root : MT_NO_TENSOR;
            plan->in[k] = k < input_count(op) ? offset_of(p, root_of(p, op->input[k])->buffer) : MT_NONE;
            plan->grad_in[k] = offset_of(p, b->grad_in[k]);
            plan->skip[k] = offset_of(p, b->skip[k]);
        }
        plan->out = offset_of(p, root_of(p, op->output)->buffer);
        plan->mask = offset_of(p, b->mask);
        plan->saved = plan->channels && !(plan->flags & MT_F_COMPACT) ? plan->in[0] : offset_of(p, b->saved);
        plan->scratch_forward = offset_of(p, b->scratch_forward);
        plan->scratch_backward = offset_of(p, b->scratch_backward);
        plan->grad_out = offset_of(p, b->grad_out);
        plan->grad_masked = offset_of(p, b->grad_masked);
    }
}

static void lay_out_state(planner_t *p) {
    mt_plan_info_t *info = &p->plan->info;
    info->state_bytes = 8 + 2 * (uint32_t)sizeof(mt_shift_t) * p->n; // random state, reserved, shift states
    for (uint32_t i = 0; i < p->n; i++) {
        mt_op_plan_t *plan = &p->plan->ops[i];
        mt_state_layout_t l = mt_operand_layout(p->m, i, plan, p->classes);
        plan->state = info->state_bytes;
        plan->derived = info->derived_bytes;
        info->state_bytes += l.state_bytes;
        info->derived_bytes += l.derived_bytes;
        mt_layer_info_t layer;
        mt_plan_layer(p->m, p->plan, i, &layer);
        info->trainable_bytes += layer.trained_weights + 4 * layer.trained_bias;
        info->forward_macs += layer.forward_macs;
        info->backward_macs += layer.backward_macs;
    }
    info->table_bytes = MT_SESSION_BYTES + mt_align(p->n * (uint32_t)sizeof(mt_op_plan_t), MT_ALIGN)
        + mt_align(p->plan->list_count * 2, MT_ALIGN) + mt_align((uint32_t)p->m->tensor_count * 2, MT_ALIGN);
    info->state_bytes = mt_align(info->state_bytes, MT_ALIGN);
    info->derived_bytes = mt_align(info->derived_bytes, MT_ALIGN);
    info->total_bytes = info->table_bytes + info->state_bytes + info->derived_bytes + info->arena_bytes;
    info->classes = p->classes;
}

void mt_plan_layer(const mt_model_t *m, const mt_plan_t *plan, uint32_t op, mt_layer_info_t *info) {
    const mt_op_plan_t *p = &plan->ops[op];
    uint32_t classes = plan->new_classes ? plan->new_classes : 1;
    *info = (mt_layer_info_t) {0};
    if (op >= plan->run_count) {
        return;
    }
    mt_window_t w = mt_operand_window(m, op, p, classes);
    uint32_t rows = (uint32_t)w.out_c, pixels = (uint32_t)(w.out_h * w.out_w);
    info->trained_weights = mt_operand_layout(m, op, p, classes).trained_weights;
    info->trained_bias = p->flags & MT_F_BIAS ? rows : 0;
    info->mask_bytes = p->flags & MT_F_MASK_BITS ? (mt_tensor_size(&m->tensors[m->ops[op].output]) + 7) / 8 : 0;
    uint32_t in_size = mt_tensor_size(&m->tensors[m->ops[op].input[0]]);
    if (p->channels) {
        info->saved_bytes = in_size / (uint32_t)w.in_c * p->channels;
    } else if (p->saved != MT_NONE) {
        info->saved_bytes = pixels * rows;
    }
    info->forward_macs = p->flags & MT_F_NEW ? (uint64_t)rows * (uint32_t)w.in_c : mt_op_macs(m, op);
    info->backward_macs = (p->flags & MT_F_GRAD_IN0 ? info->forward_macs : 0) + (uint64_t)info->trained_weights * pixels;
}

// ---- work memory ----

static uint32_t take(uint32_t *used, size_t bytes) {
    uint32_t at = *used;
    *used = mt_align(at + (uint32_t)bytes, MT_ALIGN);
    return at;
}

typedef struct {
    uint32_t ops, lists, buffers, tensors, op_buffers, order, best, bytes;
} work_layout_t;

static work_layout_t work_layout(const mt_model_t *m, const mt_scheme_t *scheme) {
    uint32_t channels = 0, n = m->op_count, most = BUFFERS_PER_OP * n + BUFFERS_EXTRA;
    for (uint32_t i = 0; scheme->layers && i < n; i++) {
        channels += scheme->layers[i].list ? scheme->layers[i].channels : 0;
    }
    work_layout_t l = {0};
    l.ops = take(&l.bytes, n * sizeof(mt_op_plan_t));
    l.lists = take(&l.bytes, (size_t)channels * 2);
    l.buffers = take(&l.bytes, most * sizeof(mt_buffer_t));
    l.tensors = take(&l.bytes, m->tensor_count * sizeof(tensor_state_t));
    l.op_buffers = take(&l.bytes, n * sizeof(op_buffers_t));
    l.order = take(&l.bytes, (size_t)most * 2);
    l.best = take(&l.bytes, (size_t)most * 2);
    return l;
}

size_t mt_plan_work_size(const mt_model_t *m, const mt_scheme_t *scheme) {
    return work_layout(m, scheme).bytes;
}

int mt_plan(const mt_model_t *m, const mt_scheme_t *scheme, void *work, size_t work_size, mt_plan_t *plan, mt_error_t *error) {
    work_layout_t l = work_layout(m, scheme);
    uint8_t *base = work;
    *plan = (mt_plan_t) {.loss = scheme->loss, .new_classes = scheme->new_classes};
    planner_t p = {.m = m, .scheme = scheme, .plan = plan, .error = error};
    if (work_size < l.bytes) {
        return fail(&p, MT_ERR_MEMORY, -1, l.bytes, (uint32_t)work_size);
    }
    plan->ops = (mt_op_plan_t *)(base + l.ops);
    plan->lists = (uint16_t *)(base + l.lists);
    p.buffers = (mt_buffer_t *)(base + l.buffers);
    p.tensors = (tensor_state_t *)(base + l.tensors);
    op_buffers_t *buffers = (op_buffers_t *)(base + l.op_buffers);
    memset(plan->ops, 0, m->op_count * sizeof(mt_op_plan_t));
    memset(buffers, 0xFF, m->op_count * sizeof(op_buffers_t));
    for (uint32_t t = 0; t < m->tensor_count; t++) {
        p.tensors[t] = (tensor_state_t) {(uint16_t)t, MT_NO_TENSOR, 0, 0, MT_NO_BUFFER, MT_NO_BUFFER};
    }
    for (uint32_t i = 0; i < m->op_count; i++) {
        plan->ops[i].list = MT_NONE;
        const mt_op_t *op = &m->ops[i];
        if (op->kind == MT_RESHAPE) {
            p.tensors[op->output].root = p.tensors[op->input[0]].root;
        } else {
            p.tensors[op->output].producer = (uint16_t)i;
        }
    }
    find_end(&p);
    plan->run_count = p.n;
    int code = set_new_head(&p);
    code = code ? code : read_scheme(&p);
    code = code ? code : mark_gradients(&p);
    if (code) {
        return code;
    }
    uint16_t top = MT_NO_BUFFER, loss_scratch = MT_NO_BUFFER;
    if (scheme->loss != MT_LOSS_NONE) {
        plan_backward(&p, buffers, &top, &loss_scratch);
    }
    plan_forward(&p, buffers);
    uint16_t peak = 0;
    plan->info.arena_lower_bound = mt_arena_lower_bound(p.buffers, p.buffer_count, &peak);
    plan->info.peak_backward = peak > p.n;
    plan->info.peak_op = peak == 0 ? 0 : peak <= p.n ? peak - 1u : peak == p.n + 1 ? p.n - 1 : 2 * p.n + 1 - peak;
    plan->info.arena_bytes = mt_arena_place(p.buffers, p.buffer_count, plan->info.arena_lower_bound, (uint16_t *)(base + l.order), (uint16_t *)(base + l.best));
    write_offsets(&p, buffers);
    plan->input = offset_of(&p, root_of(&p, m->input)->buffer);
    plan->output = offset_of(&p, root_of(&p, m->ops[p.n - 1].output)->buffer);
    plan->grad_top = offset_of(&p, top);
    plan->loss_scratch = offset_of(&p, loss_scratch);
    lay_out_state(&p);
    return MT_OK;
}
