// ../dense.h for RV32. Factors of 16 bits and weights are multiplied one by one, four rows and four columns in registers; factors of 8 bits as in
// panel.c, those of two rows in a word.
#ifndef MT_RV32_DENSE_H
#define MT_RV32_DENSE_H

#define MT_FACTOR_ROWS 4
#define MT_FACTOR_RUN 1
#define MT_PANEL_WORDS 1
#define MT_DENSE_COLUMNS 8
#define MT_SUMS_BY_COLUMN 0
#define MT_OUTER_WORDS 1
typedef int16_t mt_outer_t;

void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch);

// Rows of four bytes, put one behind the other.
static inline void mt_copy_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *to) {
    const int32_t *last = to + n, *end = to + depth;
#pragma GCC unroll 4
    for (; to < last; x += pitch) {
        *to++ = *(const int32_t *)(const void *)x;
    }
    while (to < end) {
        *to++ = 0;
    }
}

static inline void mt_widen_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_copy_columns(x, pitch, n, depth, panel);
}

static inline void mt_panel_set(int32_t *panel, int32_t depth, int32_t k, int32_t column, int8_t value) {
    (void)depth;
    ((int8_t *)panel)[4 * k + column] = value;
}

static inline void mt_outer_panel(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    mt_copy_columns(x, pitch, n, depth, panel);
}

// Bytes as numbers from 0 to 255, taken apart.
static inline void mt_outer_factors(const int8_t *q, int32_t pitch, int32_t n, int32_t depth, mt_outer_t *factors) {
    const uint32_t flip = 0x80808080, lanes = 0x00FF00FF, middle = 0x00800080;
    int32_t *to = (int32_t *)(void *)factors;
    for (int32_t k = 0; k < depth; k += 2, q += 2 * pitch, to += 4) {
        uint32_t a = k < n ? *(const uint32_t *)(const void *)q ^ flip : flip;
        uint32_t b = k + 1 < n ? *(const uint32_t *)(const void *)(q + pitch) ^ flip : flip;
        to[0] = (int32_t)((a & lanes) - middle);
        to[1] = (int32_t)((b & lanes) - middle);
        to[2] = (int32_t)((a >> 8 & lanes) - middle);
        to[3] = (int32_t)((b >> 8 & lanes) - middle);
    }
}

static inline void mt_outer_add(const mt_outer_t *factors, const int32_t *panel, int32_t depth, int32_t rows, int32_t *sums, int32_t pitch) {
    mt_panel_block((const int8_t *)panel, (const int32_t *)(const void *)factors, depth, sums, rows / 4, 0, MT_PANEL_ACROSS, 4 * pitch);
}

// Factors of all channels, whose number is returned.
#define MT_FOLD_DENSE 1
static inline int32_t mt_fold_dense(const mt_fold_t *f, const int8_t *q) {
    const int32_t n = f->n, shift = f->shift, half = 1 << (shift - 1);
    const int8_t *a = q + f->at[0], *b = q + f->at[1], *c = q + f->at[2], *d = q + f->at[3];
    const int16_t *multipliers = f->multipliers;
    int16_t *to = f->factors;
    for (const int8_t *end = a + n; a < end; to += 4) {
        const int32_t m = *multipliers++;
        to[0] = (int16_t)((*a++ * m + half) >> shift);
        to[1] = (int16_t)((*b++ * m + half) >> shift);
        to[2] = (int16_t)((*c++ * m + half) >> shift);
        to[3] = (int16_t)((*d++ * m + half) >> shift);
    }
    return n;
}

#endif // MT_RV32_DENSE_H
