// Sums of rows of a matrix, each times a factor: what an input gradient is of the weights' rows, and a weight gradient of the input's pixels. Terms
// with a factor of zero, as half of all masked gradients are, stay out of the list.
#ifndef MT_ROWS_H
#define MT_ROWS_H

#include "generic/kernels.h"
#include "panel.h"
#include "plane.h"

#ifndef MT_ROWS // whether packed rows and widened weights, below, pay
#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP) || MT_RV32
#define MT_ROWS 1
#else
#define MT_ROWS 0
#endif
#endif

typedef struct {
    int32_t factor;
    int32_t offset; // of the row, bytes
} mt_term_t;

#define MT_COLUMNS 8 // whose sums are kept in registers, term after term

#if defined(__ARM_FEATURE_DSP)
#include "armv7em/rows.h"
#else
static inline void mt_add_columns(int32_t *acc, const int8_t *rows, const mt_term_t *terms, int32_t count) {
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    for (const mt_term_t *end = terms + count; terms < end; terms++) {
        const int8_t *x = rows + terms->offset;
        const int32_t f = terms->factor;
        s0 += f * x[0];
        s1 += f * x[1];
        s2 += f * x[2];
        s3 += f * x[3];
        s4 += f * x[4];
        s5 += f * x[5];
        s6 += f * x[6];
        s7 += f * x[7];
    }
    acc[0] += s0;
    acc[1] += s1;
    acc[2] += s2;
    acc[3] += s3;
    acc[4] += s4;
    acc[5] += s5;
    acc[6] += s6;
    acc[7] += s7;
}

// Columns of `words` packed words, two terms at once.
static inline void mt_add_packed_columns(int32_t *acc, const int32_t *rows, const mt_term_t *terms, int32_t count, const int32_t words) {
    uint32_t whole[MT_COLUMNS / 2] = {0};
    int32_t high[MT_COLUMNS / 2] = {0};
    for (const mt_term_t *end = terms + count; terms < end; terms += 2) {
        const int32_t *a = rows + terms[0].offset / 4, *b = rows + terms[1].offset / 4, f = terms[0].factor, g = terms[1].factor;
        for (int32_t i = 0; i < words; i++) {
            mt_take_lanes(f * a[i] + g * b[i], &whole[i], &high[i]);
        }
    }
    for (int32_t i = 0; i < words; i++) {
        int32_t *to = acc + i / 2 * 4 + i % 2;
        to[0] += (int32_t)(whole[i] - ((uint32_t)high[i] << 16));
        to[2] += high[i];
    }
}
#endif

// acc[i] += sum of factor * rows[offset + i], |factor| <= 32767. Rows lie `pitch` apart or a multiple of it.
#if defined(__ARM_ARCH_6M__)
void mt_add_words(int32_t *acc, const int8_t *rows, int32_t n, const mt_term_t *terms, int32_t count);
#endif
static inline void mt_add_rows(int32_t *acc, const int8_t *rows, int32_t pitch, int32_t n, const mt_term_t *terms, int32_t count) {
#if defined(__ARM_ARCH_6M__)
    if (count && !(((uint32_t)n | (uint32_t)pitch | (uintptr_t)rows) & 3)) {
        mt_add_words(acc, rows, n, terms, count);
        return;
    }
#endif
    (void)pitch;
    int32_t i = 0;
    const mt_term_t *end = terms + count;
#if defined(__ARM_FEATURE_DSP) || MT_RV32
    for (; count && i + MT_COLUMNS <= n; i += MT_COLUMNS) {
        mt_add_columns(acc + i, rows + i, terms, count);
    }
#elif !defined(__SSE2__) && !defined(__ARM_NEON)
    for (; count && i + 4 <= n; i += 4) { // four sums in registers
        int32_t a0 = acc[i], a1 = acc[i + 1], a2 = acc[i + 2], a3 = acc[i + 3];
        for (const mt_term_t *t = terms; t < end; t++) {
            const int8_t *row = rows + t->offset + i;
            a0 += t->factor * row[0];
            a1 += t->factor * row[1];
            a2 += t->factor * row[2];
            a3 += t->factor * row[3];
        }
        acc[i] = a0;
        acc[i + 1] = a1;
        acc[i + 2] = a2;
        acc[i + 3] = a3;
    }
#endif
    for (; terms < end && i < n; terms++) {
        mt_axpy(acc + i, terms->factor, rows + terms->offset + i, n - i);
    }
}

// The same in two steps, for whole words: a word of four weights, each 128 more than it is, times a factor is not taken apart but added to the first of
// four sums; shifted right by 8, 16 and 24 bits to the others. Modulo 2^32 every sum is then its own weights' one and 256 times the next.
#ifndef MT_NESTED // whether that pays
#if defined(__ARM_ARCH_6M__)
#define MT_NESTED 1
#else
#define MT_NESTED 0
#endif
#endif
#if defined(__ARM_ARCH_6M__)
void mt_add_nested(int32_t *acc, const int8_t *rows, int32_t n, const mt_term_t *terms, int32_t count);
#else
static inline void mt_add_nested(int32_t *acc, const int8_t *rows, int32_t n, const mt_term_t *terms, int32_t count) {
    for (const mt_term_t *end = terms + count; terms < end; terms++) {
        const uint32_t *words = (const uint32_t *)(const void *)(rows + terms->offset), f = (uint32_t)terms->factor;
        for (int32_t i = 0; i < n; i++) {
            acc[i] = (int32_t)((uint32_t)acc[i] + f * ((words[i / 4] ^ 0x80808080) >> i % 4 * 8));
        }
    }
}
#endif
// From what mt_add_nested left to the sums; total: of all factors.
static inline void mt_settle_nested(int32_t *acc, int32_t n, int32_t total) {
    const uint32_t less = (uint32_t)total * 128;
    for (const int32_t *end = acc + n; acc < end; acc += 4) {
        uint32_t a = (uint32_t)acc[0], b = (uint32_t)acc[1], c = (uint32_t)acc[2], d = (uint32_t)acc[3];
        acc[0] = (int32_t)(a - (b << 8) - less);
        acc[1] = (int32_t)(b - (c << 8) - less);
        acc[2] = (int32_t)(c - (d << 8) - less);
        acc[3] = (int32_t)(d - less);
    }
}

// sums[r][0..3] = sum over k of factors[r][k] * panel[k][0..3], for `rows` rows of n factors, a multiple of 8, and sums `pitch` apart: what
// mt_add_rows does, where few factors are zero and the values of four columns have been widened for all rows.
#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP)
void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch);
#else
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
#endif

// Row of n values (a multiple of 4) in words of two, x0 + (x2 << 16), x1 + (x3 << 16) (panel.h), for:
#if defined(__ARM_ARCH_6M__)
void mt_pack_words(const int8_t *x, int32_t n, int32_t *words); // of a word-aligned row
#endif
static inline void mt_pack_row(const int8_t *x, int32_t n, int32_t *words) {
#if defined(__ARM_FEATURE_DSP)
    for (const int8_t *end = x + n; x < end; x += 4) {
        uint32_t word = mt_load4(x);
        words = (int32_t *)mt_store_pair((uint32_t *)words, mt_even_bytes(word), mt_odd_bytes(word));
    }
    return;
#endif
    if (!((uintptr_t)x & 3)) { // the bytes as numbers from 0 to 255, taken apart
#if defined(__ARM_ARCH_6M__)
        mt_pack_words(x, n, words);
        return;
#endif
        const uint32_t low = 0x00FF00FF, middle = 0x00800080;
        for (const uint32_t *word = (const uint32_t *)(const void *)x, *end = word + n / 4; word < end; word++, words += 2) {
            uint32_t v = *word ^ 0x80808080;
            words[0] = (int32_t)((v & low) - middle);
            words[1] = (int32_t)((v >> 8 & low) - middle);
        }
        return;
    }
    for (const int8_t *end = x + n; x < end; x += 4, words += 2) {
        words[0] = x[0] + x[2] * 65536;
        words[1] = x[1] + x[3] * 65536;
    }
}

// The same from packed rows, of which four values take 8 bytes. |factor| <= 127; count is even.
#if defined(__ARM_ARCH_6M__)
void mt_add_packed_rows(int32_t *acc, const int32_t *rows, int32_t n, const mt_term_t *terms, int32_t count);
#else
static inline void mt_add_packed_rows(int32_t *acc, const int32_t *rows, int32_t n, const mt_term_t *terms, int32_t count) {
    for (; n >= MT_COLUMNS; n -= MT_COLUMNS, acc += MT_COLUMNS, rows += MT_COLUMNS / 2) {
        mt_add_packed_columns(acc, rows, terms, count, MT_COLUMNS / 2);
    }
    if (n) {
        mt_add_packed_columns(acc, rows, terms, count, 2);
    }
}
#endif

// Terms of n gradients, zeros left out, for rows `pitch` bytes apart: factors (gradient * multiplier + 2^(shift - 1)) >> shift, which are also added to
// `total`. Returns the terms' end.
#if defined(__ARM_ARCH_6M__)
mt_term_t *mt_fold_bytes(const int8_t *q, int32_t n, const int16_t *multipliers, int32_t shift, int32_t pitch, mt_term_t *terms, int32_t *total);
#else
static inline mt_term_t *mt_fold_bytes(const int8_t *q, int32_t n, const int16_t *multipliers, int32_t shift, int32_t pitch, mt_term_t *terms,
    int32_t *total) {
    const int32_t half = 1 << (shift - 1);
    int32_t sum = 0;
    for (int32_t offset = 0, end = n * pitch; offset < end; offset += pitch, multipliers++) {
        int32_t v = *q++;
        if (v) {
            terms->factor = (v * *multipliers + half) >> shift;
            terms->offset = offset;
            sum += terms->factor;
            terms++;
        }
    }
    *total += sum;
    return terms;
}
#endif

// to[i] = factor * x[i] - less.
#if defined(__ARM_ARCH_6M__)
void mt_scale_words(int32_t factor, int32_t less, const int8_t *x, int32_t n, int32_t *to); // n a multiple of 4, x word-aligned
#endif
static inline void mt_scale_row(int32_t factor, int32_t less, const int8_t *x, int32_t n, int32_t *to) {
#if defined(__ARM_ARCH_6M__)
    const int32_t whole = (uintptr_t)x & 3 ? 0 : n & ~3;
    if (whole) {
        mt_scale_words(factor, less, x, whole, to);
        x += whole;
        to += whole;
        n -= whole;
    }
#elif MT_ROWS
    for (; !((uintptr_t)x & 3) && n >= 4; n -= 4, x += 4, to += 4) {
        int32_t word = *(const int32_t *)(const void *)x;
        to[0] = factor * (int8_t)word - less;
        to[1] = factor * (int8_t)(word >> 8) - less;
        to[2] = factor * (int8_t)(word >> 16) - less;
        to[3] = factor * (word >> 24) - less;
    }
#endif
    for (const int32_t *end = to + n; to < end;) {
        *to++ = factor * *x++ - less;
    }
}

#endif // MT_ROWS_H
