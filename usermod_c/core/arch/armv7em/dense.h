// ../dense.h for multiplications of pairs: a word of a panel holds two rows of one column, one of factors two factors of one row. Each time two rows
// or columns are multiplied with four of the other (panel.h).
#ifndef MT_ARMV7EM_DENSE_H
#define MT_ARMV7EM_DENSE_H

#include "panel.h"

#define MT_FACTOR_ROWS 4
#define MT_FACTOR_RUN 2
#define MT_PANEL_WORDS 2
#define MT_DENSE_COLUMNS 4
#define MT_SUMS_BY_COLUMN 1
#define MT_OUTER_WORDS 2
typedef int16_t mt_outer_t;

typedef struct { // where the words of columns 0 and 1 go, and of 2 and 3; NULL: behind them
    uint32_t *low, *high;
} mt_pairs_t;

// Two rows of four columns.
static inline mt_pairs_t mt_pair_rows(mt_pairs_t to, uint32_t a, uint32_t b, const bool apart) {
    uint32_t first = mt_low_lanes(a, b), second = mt_high_lanes(a, b);
    to.low = mt_store_pair(to.low, mt_even_bytes(first), mt_odd_bytes(first));
    if (apart) {
        to.high = mt_store_pair(to.high, mt_even_bytes(second), mt_odd_bytes(second));
    } else {
        to.low = mt_store_pair(to.low, mt_even_bytes(second), mt_odd_bytes(second));
    }
    return to;
}

static inline void mt_pair_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, mt_pairs_t to, const bool apart) {
#pragma GCC unroll 2
    for (int32_t left = n >> 1; left > 0; left--, x += 2 * pitch) {
        to = mt_pair_rows(to, mt_load4(x), mt_load4(x + pitch), apart);
    }
    for (int32_t left = depth - (n & ~1); left > 0; left -= 2) {
        to = mt_pair_rows(to, n & 1 && left == depth - (n & ~1) ? mt_load4(x) : 0, 0, apart);
    }
}

static inline void mt_outer_panel(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_pair_columns(x, pitch, n, depth, (mt_pairs_t) {(uint32_t *)panel, NULL}, false);
}

static inline void mt_outer_factors(const int8_t *q, int32_t pitch, int32_t n, int32_t depth, mt_outer_t *factors) {
    uint32_t *to = (uint32_t *)(void *)factors;
    mt_pair_columns(q, pitch, n, depth, (mt_pairs_t) {to, to + depth}, true);
}

static inline void mt_outer_add(const mt_outer_t *factors, const int32_t *panel, int32_t depth, int32_t rows, int32_t *sums, int32_t pitch) {
    for (; rows > 0; rows -= 2, factors += 2 * depth, sums += 2 * pitch) {
        mt_panel_block((const uint32_t *)(const void *)factors, panel, depth, sums, 1, 0, 0, 4 * pitch);
    }
}

static inline void mt_widen_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_outer_factors(x, pitch, n, depth, (int16_t *)(void *)panel);
}

static inline void mt_panel_set(int32_t *panel, int32_t depth, int32_t k, int32_t column, int8_t value) {
    ((int16_t *)(void *)panel)[(column / 2 * depth + k / 2 * 2 + column % 2) * 2 + k % 2] = value;
}

static inline void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch) {
    for (int32_t pair = 0; pair < 2; pair++, panel += n, sums += 2 * pitch) {
        mt_panel_block((const uint32_t *)(const void *)panel, (const int32_t *)(const void *)factors, n, sums, (rows + 3) / 4, 0, 1, 4 * pitch);
    }
}

static inline uint32_t mt_fold_two(const int8_t *q, uint32_t multipliers, int32_t half, int32_t shift) {
    int32_t a = mt_smlabb((uint32_t)q[0], multipliers, half), b = mt_smlabt((uint32_t)q[1], multipliers, half);
    return mt_low_lanes((uint32_t)(a >> shift), (uint32_t)(b >> shift));
}

// Factors of an even number of channels, which is returned.
#define MT_FOLD_DENSE 1
static inline int32_t mt_fold_dense(const mt_fold_t *f, const int8_t *q) {
    const int32_t n = f->n & ~1, shift = f->shift, half = 1 << (shift - 1);
    const int8_t *a = q + f->at[0], *b = q + f->at[1], *c = q + f->at[2], *d = q + f->at[3];
    const uint32_t *multipliers = (const uint32_t *)(const void *)f->multipliers;
    uint32_t *to = (uint32_t *)(void *)f->factors;
    for (const int8_t *end = a + n; a < end; a += 2, b += 2, c += 2, d += 2) {
        const uint32_t m = *multipliers++;
        uint32_t first = mt_fold_two(a, m, half, shift);
        to = mt_store_pair(to, first, mt_fold_two(b, m, half, shift));
        first = mt_fold_two(c, m, half, shift);
        to = mt_store_pair(to, first, mt_fold_two(d, m, half, shift));
    }
    return n;
}

#endif // MT_ARMV7EM_DENSE_H
