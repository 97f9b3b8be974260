// (image, scheme) -> schedule: what plan_scheme.c and plan_lifetime.c find, with offsets and the layout of the block.
#include <string.h>

#include "fixed.h"
#include "operand.h"
#include "planner.h"

#define BUFFERS_PER_OP 9
#define BUFFERS_EXTRA 6

// Finds the arena's layout, in the scheme's regions where it has any.
static int place_buffers(planner_t *p, uint16_t *order, uint16_t *best) {
    mt_plan_t *plan = p->plan;
    uint32_t bound = plan->info.arena_lower_bound, ends[MT_REGIONS], end = 0;
    if (p->scheme->region_count > MT_REGIONS) {
        return mt_fail(p->error, MT_ERR_VALUE, -1, MT_REGIONS, p->scheme->region_count);
    }
    plan->region_count = p->scheme->region_count;
    for (uint32_t k = 0; k < plan->region_count; k++) {
        uint32_t bytes = p->scheme->regions[k].bytes;
        bytes = (bytes < INT32_MAX / MT_REGIONS ? bytes : INT32_MAX / MT_REGIONS) / MT_ALIGN * MT_ALIGN;
        plan->region_start[k] = end;
        ends[k] = end += bytes;
        plan->regions[k] = (mt_region_t) {p->scheme->regions[k].data, 0};
    }
    mt_arena_ends_t split = {ends, plan->region_count};
    uint32_t size = mt_arena_place(p->buffers, p->buffer_count, split.count ? end : bound, split, order, best);
    plan->info.arena_bytes = size;
    if (!split.count) {
        return MT_OK;
    }
    if (size > end) {
        return mt_fail(p->error, MT_ERR_MEMORY, (int32_t)plan->info.peak_op, size, end);
    }
    plan->info.arena_bytes = 0;
    for (uint32_t k = 0; k < split.count; k++) {
        uint32_t used = 0;
        for (uint32_t i = 0; i < p->buffer_count; i++) {
            uint32_t top = p->buffers[i].offset + p->buffers[i].size - plan->region_start[k];
            used = p->buffers[i].offset >= plan->region_start[k] && p->buffers[i].offset < ends[k] && top > used ? top : used;
        }
        plan->regions[k].bytes = used;
        plan->info.arena_bytes += used;
    }
    return MT_OK;
}

static uint32_t offset_of(const planner_t *p, uint16_t buffer) {
    return buffer == MT_NO_BUFFER ? MT_NONE : p->buffers[buffer].offset;
}

static void write_offsets(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        mt_op_plan_t *plan = &p->plan->ops[i];
        const op_buffers_t *b = &p->op_buffers[i];
        plan->flags |= MT_F_RUN;
        plan->out_root = p->tensors[op->output].root;
        for (uint32_t k = 0; k < 2; k++) {
            plan->in_root[k] = k < mt_input_count(op) ? p->tensors[op->input[k]].root : MT_NO_TENSOR;
            plan->in[k] = k < mt_input_count(op) ? offset_of(p, mt_root_of(p, op->input[k])->buffer) : MT_NONE;
            plan->grad_in[k] = offset_of(p, b->grad_in[k]);
            plan->skip[k] = offset_of(p, b->skip[k]);
        }
        plan->out = offset_of(p, mt_root_of(p, op->output)->buffer);
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
        info->optimizer_bytes += l.state_bytes - l.velocity;
        info->derived_bytes += l.derived_bytes;
        mt_layer_info_t layer;
        mt_plan_layer(p->m, p->plan, i, &layer);
        info->trainable_bytes += layer.trained_weights * (plan->flags & MT_F_WIDE ? 2u : 1u) + 4 * layer.trained_bias;
        info->forward_macs += layer.forward_macs;
        info->backward_macs += layer.backward_macs;
    }
    info->table_bytes = MT_SESSION_BYTES + mt_align(p->n * (uint32_t)sizeof(mt_op_plan_t), MT_ALIGN)
        + mt_align(p->plan->list_count * 2, MT_ALIGN) + mt_align((uint32_t)p->m->tensor_count * 2, MT_ALIGN)
        + (p->plan->cores > 1 ? MT_STACK_BYTES : 0);
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
    uint32_t ops, lists, buffers, tensors, op_buffers, order, best, rows, bytes;
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
    l.rows = take(&l.bytes, (n + 1) * sizeof(mt_rows_t));
    return l;
}

size_t mt_plan_work_size(const mt_model_t *m, const mt_scheme_t *scheme) {
    return work_layout(m, scheme).bytes;
}

// Everything but offsets, from the beginning. Returns MT_OK or a negative code.
static int find_buffers(planner_t *p) {
    const mt_model_t *m = p->m;
    mt_plan_t *plan = p->plan;
    p->buffer_count = 0;
    p->top = p->loss_scratch = p->stream = MT_NO_BUFFER;
    plan->list_count = 0;
    memset(p->op_buffers, 0xFF, m->op_count * sizeof(op_buffers_t));
    for (uint32_t t = 0; t < m->tensor_count; t++) {
        p->tensors[t] = (tensor_state_t) {(uint16_t)t, MT_NO_TENSOR, 0, 0, MT_NO_BUFFER, MT_NO_BUFFER};
    }
    for (uint32_t i = 0; i < m->op_count; i++) {
        plan->ops[i] = (mt_op_plan_t) {.list = MT_NONE, .rows = plan->ops[i].rows};
        const mt_op_t *op = &m->ops[i];
        if (op->kind == MT_RESHAPE) {
            p->tensors[op->output].root = p->tensors[op->input[0]].root;
        } else {
            p->tensors[op->output].producer = (uint16_t)i;
        }
    }
    int code = mt_plan_scheme(p);
    if (!code) {
        mt_plan_lifetimes(p);
    }
    return code;
}

int mt_plan(const mt_model_t *m, const mt_scheme_t *scheme, void *work, size_t work_size, mt_plan_t *plan, mt_error_t *error) {
    work_layout_t l = work_layout(m, scheme);
    uint8_t *base = work;
    *plan = (mt_plan_t) {.loss = scheme->loss, .new_classes = scheme->new_classes, .gradient_bits = scheme->gradient_bits ? scheme->gradient_bits : 8,
        .cores = scheme->cores ? scheme->cores : 1};
    if (plan->cores > MT_CORES) {
        return mt_fail(error, MT_ERR_VALUE, -1, MT_CORES, plan->cores);
    }
    planner_t p = {.m = m, .scheme = scheme, .plan = plan, .error = error};
    if (work_size < l.bytes) {
        return mt_fail(error, MT_ERR_MEMORY, -1, l.bytes, (uint32_t)work_size);
    }
    if (plan->gradient_bits != 8 && plan->gradient_bits != 12) {
        return mt_fail(error, MT_ERR_VALUE, -1, 8, plan->gradient_bits);
    }
    if (scheme->momentum_bits && scheme->momentum_bits != 8 && scheme->momentum_bits != 16) {
        return mt_fail(error, MT_ERR_VALUE, -1, 16, scheme->momentum_bits);
    }
    plan->ops = (mt_op_plan_t *)(base + l.ops);
    plan->lists = (uint16_t *)(base + l.lists);
    p.buffers = (mt_buffer_t *)(base + l.buffers);
    p.tensors = (tensor_state_t *)(base + l.tensors);
    p.op_buffers = (op_buffers_t *)(base + l.op_buffers);
    memset(plan->ops, 0, m->op_count * sizeof(mt_op_plan_t));
    int code = find_buffers(&p);
    if (code) {
        return code;
    }
    uint16_t peak = 0;
    uint32_t bound = mt_arena_lower_bound(p.buffers, p.buffer_count, 0, &peak);
    if (scheme->stream && mt_plan_stream(&p, bound, (mt_rows_t *)(base + l.rows))) {
        find_buffers(&p); // it succeeded before
        bound = mt_arena_lower_bound(p.buffers, p.buffer_count, 0, &peak);
    }
    uint64_t bytes = 0; // of all buffers and states: offsets are 32 bits
    for (uint32_t i = 0; i < p.buffer_count; i++) {
        bytes += p.buffers[i].size;
    }
    for (uint32_t i = 0; i < p.n; i++) {
        mt_state_layout_t state = mt_operand_layout(m, i, &plan->ops[i], p.classes);
        bytes += (uint64_t)state.state_bytes + state.derived_bytes;
    }
    if (bytes > INT32_MAX) {
        return mt_fail(error, MT_ERR_MEMORY, -1, UINT32_MAX, INT32_MAX);
    }
    plan->info.arena_lower_bound = bound;
    plan->info.peak_backward = peak > p.n;
    plan->info.peak_op = peak == 0 ? 0 : peak <= p.n ? peak - 1u : peak == p.n + 1 ? p.n - 1 : 2 * p.n + 1 - peak;
    code = place_buffers(&p, (uint16_t *)(base + l.order), (uint16_t *)(base + l.best));
    if (code) {
        return code;
    }
    write_offsets(&p);
    plan->stream = offset_of(&p, p.stream);
    plan->input = offset_of(&p, mt_root_of(&p, m->input)->buffer);
    plan->output = offset_of(&p, mt_root_of(&p, m->ops[p.n - 1].output)->buffer);
    plan->grad_top = offset_of(&p, p.top);
    plan->loss_scratch = offset_of(&p, p.loss_scratch);
    lay_out_state(&p);
    return MT_OK;
}
