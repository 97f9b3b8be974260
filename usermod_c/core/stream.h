// The frozen first operators run row by row (MCUNetV2's idea, arXiv 2110.15352, with rows kept instead of computed again): each makes a row
// as soon as its input has the rows that it needs, and between two of them lie those few rows instead of a whole tensor.
#ifndef MT_STREAM_H
#define MT_STREAM_H

#include "ops/conv2d.h"

// Tensors that an operator reads.
static inline uint32_t mt_input_count(const mt_op_t *op) {
    return op->kind == MT_ADD ? 2 : 1;
}

typedef struct { // rows of a tensor that are there: [first, end)
    uint16_t first, end;
} mt_rows_t;

typedef struct {
    const mt_model_t *model;
    const mt_op_plan_t *ops;
    uint32_t count; // operators that run row by row: the first ones
    mt_rows_t *rows; // of the network's input, then of each operator's output; count + 1
} mt_stream_t;

// Whether operators of this kind can run row by row.
bool mt_stream_can(const mt_model_t *m, uint32_t op);
// Entry in `rows` of input k.
uint32_t mt_stream_source(const mt_stream_t *s, uint32_t op, uint32_t k);
// The window of the operator's next output row over the rows that it needs; `*first` receives the first of these. False where they
// are not all there, or no row is left to make.
bool mt_stream_next(const mt_stream_t *s, uint32_t op, mt_window_t *w, int32_t *first);
// First row of `rows[entry]` that is still needed.
uint32_t mt_stream_needed(const mt_stream_t *s, uint32_t entry);

#endif // MT_STREAM_H
