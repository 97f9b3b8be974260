#include "stream.h"

#include "operand.h"

bool mt_stream_can(const mt_model_t *m, uint32_t op) {
    mt_window_t w = mt_operand_window(m, op, &(mt_op_plan_t) {0}, 0);
    switch (m->ops[op].kind) {
        case MT_CONV2D:
        case MT_DEPTHWISE_CONV2D:
        case MT_ADD:
        case MT_AVERAGE_POOL:
        case MT_MAX_POOL:
        case MT_REQUANTIZE: // no window may lie outside the input as a whole
            return w.pad_top < w.kernel_h && (w.out_h - 1) * w.stride_h - w.pad_top < w.in_h;
        default:
            return false;
    }
}

uint32_t mt_stream_source(const mt_stream_t *s, uint32_t op, uint32_t k) {
    uint16_t tensor = s->model->ops[op].input[k];
    uint32_t entry = op;
    while (entry > 0 && s->model->ops[entry - 1].output != tensor) {
        entry--;
    }
    return entry;
}

static int32_t first_row(const mt_window_t *w, int32_t row) {
    int32_t first = row * w->stride_h - w->pad_top;
    return first < 0 ? 0 : first;
}

bool mt_stream_next(const mt_stream_t *s, uint32_t op, mt_window_t *w, int32_t *first) {
    *w = mt_operand_window(s->model, op, &s->ops[op], 0);
    int32_t row = s->rows[op + 1].end, top = row * w->stride_h - w->pad_top, end = top + w->kernel_h;
    end = end < w->in_h ? end : w->in_h;
    if (row == w->out_h) {
        return false;
    }
    for (uint32_t k = 0; k < mt_input_count(&s->model->ops[op]); k++) {
        if (s->rows[mt_stream_source(s, op, k)].end < end) {
            return false;
        }
    }
    *first = first_row(w, row);
    w->pad_top = *first - top;
    w->in_h = end - *first;
    w->out_h = 1;
    return true;
}

uint32_t mt_stream_needed(const mt_stream_t *s, uint32_t entry) {
    uint16_t tensor = entry ? s->model->ops[entry - 1].output : s->model->input;
    int32_t needed = s->rows[entry].end;
    for (uint32_t i = entry; i < s->count; i++) {
        const mt_op_t *op = &s->model->ops[i];
        if (op->input[0] == tensor || (mt_input_count(op) > 1 && op->input[1] == tensor)) {
            mt_window_t w = mt_operand_window(s->model, i, &s->ops[i], 0);
            int32_t first = s->rows[i + 1].end < w.out_h ? first_row(&w, s->rows[i + 1].end) : w.in_h;
            needed = first < needed ? first : needed;
        }
    }
    return (uint32_t)needed;
}
