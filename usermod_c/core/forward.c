// Executes a plan's forward pass: operator by operator, the first ones row by row.
#include <string.h>

#include "operators.h"
#include "fixed.h"
#include "gradient.h"
#include "microtrain.h"
#include "operand.h"
#include "ops/add.h"
#include "ops/elementwise.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "stream.h"

int8_t *mt_session_input(mt_session_t *s) {
    return mt_arena_at(s, s->input);
}

void mt_session_set_source(mt_session_t *s, mt_row_source_t source, void *context) {
    s->source = source;
    s->source_context = context;
}

const void *mt_session_output(const mt_session_t *s) {
    return mt_arena_at(s, s->output);
}

uint32_t mt_session_argmax(const mt_session_t *s) {
    const int32_t *logits = mt_session_output(s);
    const int8_t *quantized = mt_session_output(s);
    uint32_t best = 0;
    for (uint32_t i = 1; i < s->classes; i++) {
        if (s->logits ? logits[i] > logits[best] : quantized[i] > quantized[best]) {
            best = i;
        }
    }
    return best;
}

// The trained channels of the input, before anything overwrites it.
static void keep_channels(const mt_session_t *s, uint32_t index) {
    const mt_op_plan_t *p = &s->ops[index];
    uint32_t n = mt_tensor_size(&s->model->tensors[s->model->ops[index].input[0]]);
    uint32_t in_c = (uint32_t)mt_operand_window(s->model, index, p, s->classes).in_c;
    const uint16_t *list = p->list == MT_NONE ? NULL : s->lists + p->list;
    const int8_t *x = mt_arena_at(s, p->in[0]);
    int8_t *kept = mt_arena_at(s, p->saved);
    for (uint32_t i = 0; i < n; i += in_c, kept += p->channels) {
        for (uint32_t j = 0; j < p->channels; j++) {
            kept[j] = x[i + (list ? list[j] : j)];
        }
    }
}

// One operator's kernel over window `w`: x[0], x[1] -> y, of which `mask` holds the bits that are kept.
typedef struct {
    const mt_session_t *s;
    uint32_t index;
    mt_window_t w;
    const int8_t *x[2];
    int8_t *y;
    void *scratch;
    uint32_t mask; // bytes from the operator's on
    int32_t first, end; // output channels of a convolution, input channels of a depthwise one; end 0: all
} part_t;

static void forward_part(const part_t *part) {
    const mt_session_t *s = part->s;
    const uint32_t index = part->index;
    const mt_window_t *w = &part->w;
    const int8_t *const *x = part->x;
    int8_t *y = part->y;
    const mt_op_t *op = &s->model->ops[index];
    const mt_op_plan_t *p = &s->ops[index];
    void *scratch = part->scratch;
    switch ((int)op->kind) {
        case MT_LINEAR:
            if (p->flags & MT_F_LOGITS) {
                mt_head_t head = mt_operand_head(s, index, false);
                mt_head_forward(&head, x[0], (int32_t *)y, scratch);
                break;
            }
        // fall through
        case MT_CONV2D: {
            mt_conv_t conv = mt_operand_conv(s, index, false);
            conv.window = *w;
            conv.mask = conv.mask ? conv.mask + part->mask : NULL;
            if (MT_CORES > 1 && part->end) {
                conv.first = part->first;
                conv.end = part->end;
            }
            mt_conv2d_forward(&conv, x[0], y, scratch);
            break;
        }
        case MT_BUILT(DEPTHWISE_CONV2D): {
            mt_depthwise_t depthwise = mt_operand_depthwise(s, index, false);
            depthwise.window = *w;
            depthwise.mask = depthwise.mask ? depthwise.mask + part->mask : NULL;
            if (MT_CORES > 1 && part->end) {
                depthwise.first = part->first;
                depthwise.end = part->end;
            }
            mt_depthwise_forward(&depthwise, x[0], y, scratch);
            break;
        }
        case MT_BUILT(ADD): {
            const mt_tensor_t *b = &s->model->tensors[op->input[1]];
            mt_add_t add = {{w->in_zero, b->zero_point}, w->out_zero, w->act_min, w->act_max, op->param};
            mt_add_forward(&add, x[0], x[1], y, (uint32_t)(w->out_h * w->out_w * w->out_c));
            break;
        }
        case MT_BUILT(AVERAGE_POOL):
            mt_average_pool_forward(w, x[0], y);
            break;
        case MT_BUILT(MAX_POOL):
            mt_max_pool_forward(w, x[0], y, mt_arena_at(s, p->saved));
            break;
        case MT_BUILT(MEAN):
            mt_mean_forward(w, op->param[0], op->param[1], x[0], y);
            break;
        case MT_BUILT(PAD):
            mt_pad_forward(w, x[0], y);
            break;
        case MT_BUILT(REQUANTIZE):
            mt_requantize_forward(w, op->param[0], op->param[1], x[0], y);
            break;
        case MT_BUILT(SOFTMAX):
            mt_softmax_forward(x[0], (uint32_t)w->in_c, s->model->tensors[op->input[0]].scale, y, scratch);
            break;
        default: // reshape shares its input's memory
            break;
    }
}

// ---- in two halves ----

static void forward_half(void *argument) {
    forward_part(argument);
}

static bool is_depthwise(const part_t *part) {
    return part->s->model->ops[part->index].kind == MT_DEPTHWISE_CONV2D;
}

static bool may_split(const part_t *part) {
    const mt_session_t *s = part->s;
    return MT_CORES > 1 && s->split && (is_depthwise(part) || s->model->ops[part->index].kind == MT_CONV2D) && !(s->ops[part->index].flags & MT_F_LOGITS);
}

// Whether rows of the output may be made at the same time: none may write what the other one reads.
static bool rows_are_apart(const part_t *part) {
    const mt_window_t *w = &part->w;
    const int8_t *x_end = part->x[0] + w->in_h * w->in_w * w->in_c, *y_end = part->y + w->out_h * w->out_w * w->out_c;
    bool apart = x_end <= part->y || y_end <= part->x[0], inside = w->pad_top < w->kernel_h && (w->out_h - 1) * w->stride_h - w->pad_top < w->in_h;
    return apart && inside;
}

static void run_halves(const part_t *whole, part_t *first, part_t *second) {
    const mt_session_t *s = whole->s;
    const bool mixed = s->ops[whole->index].flags & MT_F_COMPACT;
    second->scratch = (uint8_t *)whole->scratch + mt_second_scratch(
        is_depthwise(whole) ? mt_depthwise_forward_scratch(&whole->w, mixed) : mt_conv2d_forward_scratch(&whole->w, mixed));
    s->split(s->split_context, forward_half, first, second);
}

// Output rows [from, end) of the whole.
static part_t rows_of(const part_t *whole, int32_t from, int32_t end) {
    part_t part = *whole;
    const mt_window_t *w = &whole->w;
    int32_t top = from * w->stride_h - w->pad_top, first = mt_clamp(top, 0, w->in_h - 1);
    part.w.out_h = end - from;
    part.w.pad_top = first - top;
    part.w.in_h = w->in_h - first;
    part.x[0] += first * w->in_w * w->in_c;
    part.y += from * w->out_w * w->out_c;
    part.mask = (uint32_t)(from * w->out_w * w->out_c) / 8;
    return part;
}

static void forward_whole(const part_t *whole) {
    const mt_window_t *w = &whole->w;
    int32_t row = w->out_w * w->out_c, middle = (w->out_h + 1) / 2;
    while (middle < w->out_h && middle * row % 8) { // bits of the mask share no byte
        middle++;
    }
    if (!may_split(whole) || middle == w->out_h || !rows_are_apart(whole)) {
        forward_part(whole);
        return;
    }
    part_t first = rows_of(whole, 0, middle), second = rows_of(whole, middle, w->out_h);
    run_halves(whole, &first, &second);
}

// A row alone, which has no mask, in halves of its channels: fours, as the kernels take them.
static void forward_channels(const part_t *whole) {
    const int32_t channels = is_depthwise(whole) ? whole->w.in_c : whole->w.out_c, middle = (int32_t)mt_align((uint32_t)channels / 2, 4);
    if (!may_split(whole) || middle >= channels) {
        forward_part(whole);
        return;
    }
    part_t first = *whole, second = *whole;
    first.end = second.first = middle;
    second.end = channels;
    run_halves(whole, &first, &second);
}

// ---- row by row ----

static int32_t row_bytes(const mt_session_t *s, uint32_t entry) {
    const mt_tensor_t *t = &s->model->tensors[entry ? s->model->ops[entry - 1].output : s->model->input];
    return (int32_t)(t->w * t->c);
}

// Where a row of an entry of the stream lies.
static int8_t *row_at(const mt_session_t *s, const mt_stream_t *stream, uint32_t entry, int32_t row) {
    int8_t *memory = mt_arena_at(s, entry ? s->ops[entry - 1].out : s->input);
    return memory + (row - stream->rows[entry].first) * row_bytes(s, entry);
}

// Where the next row of an entry goes. Where its memory, `capacity` rows, is full, what nothing needs any more makes room.
static int8_t *next_row(const mt_session_t *s, const mt_stream_t *stream, uint32_t entry, uint32_t capacity) {
    mt_rows_t *rows = &stream->rows[entry];
    if (capacity && (uint32_t)rows->end - rows->first == capacity) {
        uint16_t kept = (uint16_t)mt_stream_needed(stream, entry);
        memmove(row_at(s, stream, entry, rows->first), row_at(s, stream, entry, kept), (size_t)((rows->end - kept) * row_bytes(s, entry)));
        rows->first = kept;
    }
    return row_at(s, stream, entry, rows->end);
}

// Makes one row of the operator's output, if it can.
static bool forward_row(const mt_session_t *s, const mt_stream_t *stream, uint32_t index) {
    mt_window_t w;
    int32_t first;
    if (!mt_stream_next(stream, index, &w, &first)) {
        return false;
    }
    part_t part = {.s = s, .index = index, .w = w, .scratch = mt_arena_scratch(s, s->ops[index].scratch_forward)};
    for (uint32_t k = 0; k < mt_input_count(&s->model->ops[index]); k++) {
        part.x[k] = row_at(s, stream, mt_stream_source(stream, index, k), first);
    }
    part.y = next_row(s, stream, index + 1, s->ops[index].rows);
    forward_channels(&part);
    stream->rows[index + 1].end++;
    return true;
}

static void forward_stream(const mt_session_t *s) {
    mt_stream_t stream = {s->model, s->ops, s->stream_ops, mt_arena_at(s, s->stream)};
    memset(stream.rows, 0, (s->stream_ops + 1u) * sizeof(mt_rows_t));
    while (stream.rows[0].end < s->model->tensors[s->model->input].h) {
        if (s->input_rows) {
            s->source(s->source_context, next_row(s, &stream, 0, s->input_rows), (uint32_t)row_bytes(s, 0));
        }
        stream.rows[0].end++;
        for (bool moved = true; moved;) {
            moved = false;
            for (uint32_t i = 0; i < s->stream_ops; i++) {
                moved |= forward_row(s, &stream, i);
            }
        }
    }
}

void mt_session_forward_op(mt_session_t *s, uint32_t i) {
    const mt_op_plan_t *p = &s->ops[i];
    if (i < s->stream_ops) {
        if (i + 1u == s->stream_ops) {
            forward_stream(s);
        }
        return;
    }
    if (p->flags & MT_F_COMPACT && p->saved != MT_NONE) { // nothing is kept where no gradient arrives
        keep_channels(s, i);
    }
    part_t whole = {.s = s, .index = i, .w = mt_operand_window(s->model, i, p, s->classes), .x = {mt_arena_at(s, p->in[0]), mt_arena_at(s, p->in[1])},
                    .y = mt_arena_at(s, p->out), .scratch = mt_arena_scratch(s, p->scratch_forward)};
    forward_whole(&whole);
    const mt_op_t *op = &s->model->ops[i];
    if (p->flags & MT_F_MASK_BITS && op->activation != MT_ACT_RANGE) {
        mt_clamp_mask_t mask = mt_operand_mask(op);
        mt_mask_from_output(&mask, mt_arena_at(s, p->out), mt_arena_at(s, p->mask), mt_tensor_size(&s->model->tensors[op->output]));
    }
}

void mt_session_forward(mt_session_t *s) {
    for (uint32_t i = 0; i < s->run_count; i++) {
        mt_session_forward_op(s, i);
    }
}
