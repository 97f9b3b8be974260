// ../dense.h in plain C. Values of a panel take 32 bits.
#ifndef MT_GENERIC_DENSE_H
#define MT_GENERIC_DENSE_H

#include <stdint.h>

#define MT_FACTOR_ROWS 1
#define MT_FACTOR_RUN 1
#define MT_PANEL_WORDS 4 // a row of a panel
#define MT_DENSE_COLUMNS 8 // of an input gradient, that are stored at once
#define MT_SUMS_BY_COLUMN 0 // whether sums lie [column][row], not [row][column]

// Panel of the n rows of four values that lie `pitch` bytes apart at x, word-aligned, and zeros up to `depth`.
static inline void mt_widen_columns(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    int32_t *end = panel + 4 * n;
    for (; panel < end; panel += 4, x += pitch) {
        int32_t word = *(const int32_t *)(const void *)x;
        panel[0] = (int8_t)word;
        panel[1] = (int8_t)(word >> 8);
        panel[2] = (int8_t)(word >> 16);
        panel[3] = word >> 24;
    }
    memset(end, 0, (size_t)(depth - n) * 16);
}

static inline void mt_panel_set(int32_t *panel, int32_t depth, int32_t k, int32_t column, int8_t value) {
    (void)depth;
    panel[4 * k + column] = value;
}

// sums[r][0..3] = sum over k of factors[r][k] * panel[k][0..3], for `rows` rows of n factors, a multiple of 8, and sums `pitch` apart; by column
// sums[0..3][r]. Rows that are interleaved are computed together: there is memory for the sums of a multiple of MT_FACTOR_ROWS.
static inline void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch) {
    for (; rows > 0; rows -= 2, factors += n, sums += 2 * pitch) { // two rows at once, the last one perhaps twice
        const int32_t next = rows > 1 ? n : 0;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        const int32_t *values = panel;
        for (const int16_t *end = factors + n; factors < end; factors++, values += 4) {
            const int32_t f = factors[0], g = factors[next], a = values[0], b = values[1], c = values[2], d = values[3];
            s0 += f * a;
            s1 += f * b;
            s2 += f * c;
            s3 += f * d;
            t0 += g * a;
            t1 += g * b;
            t2 += g * c;
            t3 += g * d;
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        if (next) {
            sums[pitch] = t0;
            sums[pitch + 1] = t1;
            sums[pitch + 2] = t2;
            sums[pitch + 3] = t3;
        }
    }
}

// Weight gradients. mt_outer_factors: of four adjacent rows, a multiple of four to the next; mt_outer_panel: of four columns; both from n rows of
// values that lie `pitch` bytes apart, word-aligned, with zeros up to `depth`, a multiple of 4.
#define MT_OUTER_WORDS 1 // a row of a panel
typedef int8_t mt_outer_t;

static inline void mt_outer_panel(const int8_t *x, int32_t pitch, int32_t n, int32_t depth, int32_t *panel) {
    int32_t *end = panel + n;
    for (; panel < end; x += pitch) {
        *panel++ = *(const int32_t *)(const void *)x;
    }
    memset(end, 0, (size_t)(depth - n) * 4);
}

static inline void mt_outer_factors(const int8_t *q, int32_t pitch, int32_t n, int32_t depth, mt_outer_t *factors) {
    mt_outer_panel(q, pitch, n, depth, (int32_t *)(void *)factors);
}

// sums[r][0..3] += sum over k of factors[r][k] * panel[k][0..3], for `rows` rows, a multiple of four, with sums `pitch` apart.
static inline void mt_outer_add(const mt_outer_t *factors, const int32_t *panel, int32_t depth, int32_t rows, int32_t *sums, int32_t pitch) {
    for (int32_t row = 0; row < rows; row++, sums += pitch) {
        const int8_t *f = factors + row / 4 * 4 * depth + row % 4, *values = (const int8_t *)panel;
        for (const int8_t *end = values + 4 * depth; values < end; values += 4, f += 4) {
            for (int32_t j = 0; j < 4; j++) {
                sums[j] += *f * values[j];
            }
        }
    }
}

#endif // MT_GENERIC_DENSE_H
