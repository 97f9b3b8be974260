// How many of the first operators run row by row, and how many rows of each tensor that takes.
#include <string.h>

#include "planner.h"
#include "stream.h"

#define MOST_STEPS (1u << 18) // rows times operators that are looked at, so that planning ends soon whatever an image says

// Operators that could: frozen, without a gradient.
static uint32_t most_operators(const planner_t *p) {
    uint32_t n = 0;
    while (n < p->n && !(p->plan->ops[n].flags & MT_F_GRAD) && !p->plan->ops[n].channels && mt_stream_can(p->m, n)) {
        n++;
    }
    return n;
}

// Whether what follows needs of the first `count` operators nothing but the last one's output.
static bool is_cut(const planner_t *p, uint32_t count) {
    for (uint32_t i = count; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        for (uint32_t k = 0; k < mt_input_count(op); k++) {
            uint16_t producer = p->tensors[p->tensors[op->input[k]].root].producer;
            if (producer == MT_NO_TENSOR || producer + 1u < count) {
                return false;
            }
        }
    }
    return true;
}

// Runs the first `count` operators without their kernels, input row by input row, and notes the most rows that lie in each output.
// Returns those of the input.
static uint32_t count_rows(planner_t *p, uint32_t count, mt_rows_t *rows) {
    mt_stream_t s = {p->m, p->plan->ops, count, rows};
    memset(rows, 0, (count + 1) * sizeof(*rows));
    for (uint32_t i = 0; i < count; i++) {
        p->plan->ops[i].rows = 0;
    }
    uint32_t input_rows = 0;
    while (rows[0].end < p->m->tensors[p->m->input].h) {
        uint32_t held = ++rows[0].end - mt_stream_needed(&s, 0);
        input_rows = held > input_rows ? held : input_rows;
        for (bool moved = true; moved;) {
            moved = false;
            for (uint32_t i = 0; i < count; i++) {
                mt_window_t w;
                int32_t first;
                if (mt_stream_next(&s, i, &w, &first)) {
                    uint32_t held = ++rows[i + 1].end - mt_stream_needed(&s, i + 1);
                    held = held > 0 ? held : 1;
                    p->plan->ops[i].rows = held > p->plan->ops[i].rows ? (uint16_t)held : p->plan->ops[i].rows;
                    moved = true;
                }
            }
        }
    }
    p->plan->ops[count - 1].rows = 0; // whole
    return input_rows;
}

uint32_t mt_rows_bytes(const planner_t *p, uint16_t tensor, uint32_t rows) {
    const mt_tensor_t *t = &p->m->tensors[tensor];
    return (rows ? rows : t->h) * t->w * t->c;
}

// Bytes live while the first `count` operators run, besides the input.
static uint32_t live_bytes(const planner_t *p, uint32_t count) {
    uint32_t bytes = (uint32_t)((count + 1) * sizeof(mt_rows_t)) + mt_stream_scratch(p, count);
    for (uint32_t i = 0; i < count; i++) {
        bytes += mt_rows_bytes(p, p->m->ops[i].output, p->plan->ops[i].rows);
    }
    return bytes;
}

bool mt_plan_stream(planner_t *p, uint32_t bound, mt_rows_t *rows) {
    uint32_t best = 0, most = most_operators(p), steps = 0;
    bool by_rows = false;
    for (uint32_t count = 1; count <= most; count++) {
        uint16_t when;
        bool possible = is_cut(p, count) && count < p->n;
        uint32_t after = possible ? mt_arena_lower_bound(p->buffers, p->buffer_count, mt_forward_time(count), &when) : bound;
        if (after >= bound) {
            continue;
        }
        steps += p->m->tensors[p->m->input].h * count;
        if (steps > MOST_STEPS) {
            break;
        }
        uint32_t input_rows = count_rows(p, count, rows);
        for (int k = MT_STREAM_OPERATORS; k <= (int)p->scheme->stream; k++) {
            uint32_t live = live_bytes(p, count) + mt_rows_bytes(p, p->m->input, k == MT_STREAM_INPUT ? input_rows : 0);
            live = live > after ? live : after;
            if (live < bound) {
                bound = live;
                best = count;
                by_rows = k == MT_STREAM_INPUT;
            }
        }
    }
    for (uint32_t i = best; i < most; i++) {
        p->plan->ops[i].rows = 0;
    }
    p->plan->stream_ops = best;
    if (best) {
        uint32_t input_rows = count_rows(p, best, rows);
        p->plan->input_rows = by_rows ? input_rows : 0;
    }
    return best > 0;
}
