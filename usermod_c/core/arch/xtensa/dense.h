// ../dense.h for MAC16: rows of factors and columns of panels lie one behind the other, and every sum is a dot product.
#ifndef MT_XTENSA_DENSE_H
#define MT_XTENSA_DENSE_H

#include "kernels.h"

#define MT_FACTOR_ROWS 1
#define MT_FACTOR_RUN 1
#define MT_PANEL_WORDS 2
#define MT_DENSE_COLUMNS 8
#define MT_SUMS_BY_COLUMN 0
#define MT_OUTER_WORDS 2
typedef int16_t mt_outer_t;

// Four columns of n rows, each as a row of `depth` values.
static inline void mt_turn_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int16_t *to) {
    int16_t *a = to, *b = a + depth, *c = b + depth, *d = c + depth;
    for (const int16_t *end = a + n; a < end; x += pitch) {
        int32_t word = *(const int32_t *)(const void *)x;
        *a++ = (int8_t)word;
        *b++ = (int8_t)(word >> 8);
        *c++ = (int8_t)(word >> 16);
        *d++ = (int16_t)(word >> 24);
    }
    for (; n < depth; n++) {
        *a++ = *b++ = *c++ = *d++ = 0;
    }
}

static inline void mt_widen_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_turn_columns(x, pitch, n, depth, (int16_t *)(void *)panel);
}

static inline void mt_panel_set(int32_t *panel, int32_t depth, int32_t k, int32_t column, int8_t value) {
    ((int16_t *)(void *)panel)[column * depth + k] = value;
}

static inline void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch) {
    mt_dots(&(mt_dots_t) {factors, (const int16_t *)(const void *)panel, sums, n, rows, 4, 2 * n, 2 * n, 4 * pitch});
}

static inline void mt_outer_panel(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_turn_columns(x, pitch, n, depth, (int16_t *)(void *)panel);
}

static inline void mt_outer_factors(const int8_t *q, int32_t pitch, int32_t n, int32_t depth, mt_outer_t *factors) {
    mt_turn_columns(q, pitch, n, depth, factors);
}

static inline void mt_outer_add(const mt_outer_t *factors, const int32_t *panel, int32_t depth, int32_t rows, int32_t *sums, int32_t pitch) {
    mt_dots_add(&(mt_dots_t) {factors, (const int16_t *)(const void *)panel, sums, depth, rows, 4, 2 * depth, 2 * depth, 4 * pitch});
}

#endif // MT_XTENSA_DENSE_H
