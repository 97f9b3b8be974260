// Sums of rows of a matrix, each times a factor: what an input gradient is of the weights' rows, and a weight gradient of the input's pixels. Terms
// with a factor of zero, as half of all masked gradients are, stay out of the list.
#ifndef MT_ROWS_H
#define MT_ROWS_H

#include "generic/kernels.h"
#include "panel.h"
#include "plane.h"

#ifndef MT_ROWS // whether packed rows and widened weights, below, pay
#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP) || MT_RV32 || MT_MAC16
#define MT_ROWS 1
#else
#define MT_ROWS 0
#endif
#endif

// Bytes of rows that are left where they lie, as a cache keeps them from pixel to pixel; 0: they are copied to RAM.
#if MT_RV32
#define MT_ROWS_IN_PLACE 8192
#else
#define MT_ROWS_IN_PLACE 0
#endif

typedef struct {
    int32_t factor;
    int32_t offset; // of the row, bytes
} mt_term_t;

#define MT_COLUMNS 8 // whose sums are kept in registers, term after term

#if defined(__ARM_FEATURE_DSP)
#include "armv7em/rows.h"
#else
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

// acc[i] += sum of factor * rows[offset + i], |factor| <= 32767. Rows lie `pitch` apart or a multiple of it. Uses the terms up:
// of a factor only its lower 16 bits may be left.
#if defined(__ARM_ARCH_6M__)
void mt_add_words(int32_t *acc, const int8_t *rows, int32_t n, const mt_term_t *terms, int32_t count);
#elif defined(__ARM_FEATURE_DSP)
void mt_add_fours(int32_t *acc, const int8_t *rows, int32_t n, mt_term_t *terms, int32_t count); // n > 0, a multiple of 4; count > 0
#elif MT_RV32
void mt_add_sixteens(int32_t *acc, const int8_t *rows, int32_t n, const mt_term_t *terms, int32_t count); // the same of 16
#endif
static inline void mt_add_rows(int32_t *acc, const int8_t *rows, int32_t pitch, int32_t n, mt_term_t *terms, int32_t count) {
#if defined(__ARM_ARCH_6M__)
    if (count && !(((uint32_t)n | (uint32_t)pitch | (uintptr_t)rows) & 3)) {
        mt_add_words(acc, rows, n, terms, count);
        return;
    }
#endif
    (void)pitch;
    int32_t i = 0;
#if defined(__ARM_FEATURE_DSP)
    if (count && n >= 4) {
        i = n & ~3;
        mt_add_fours(acc, rows, i, terms, count);
    }
#elif MT_RV32
    if (count && n >= 16) {
        i = n & ~15;
        mt_add_sixteens(acc, rows, i, terms, count);
    }
#endif
    const mt_term_t *end = terms + count;
#if !defined(__SSE2__) && !defined(__ARM_NEON) && !defined(__ARM_FEATURE_DSP)
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
#if MT_RV32
    for (; i < n; i++) {
        int32_t sum = acc[i];
        for (const mt_term_t *t = terms; t < end; t++) {
            sum += t->factor * rows[t->offset + i];
        }
        acc[i] = sum;
    }
#else
    for (; terms < end && i < n; terms++) {
        mt_axpy(acc + i, (int16_t)terms->factor, rows + terms->offset + i, n - i);
    }
#endif
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

// to[i] = factor * x[i] - less, |factor| <= 32767.
#if defined(__ARM_ARCH_6M__)
void mt_scale_words(int32_t factor, int32_t less, const int8_t *x, int32_t n, int32_t *to); // n > 0, a multiple of 4; x word-aligned
#endif
#if defined(__ARM_FEATURE_DSP)
void mt_scale_row(int32_t factor, int32_t less, const int8_t *x, int32_t n, int32_t *to);
#else
static inline void mt_scale_row(int32_t factor, int32_t less, const int8_t *x, int32_t n, int32_t *to) {
    const int32_t *end = to + n;
#if defined(__ARM_ARCH_6M__)
    if (!((uintptr_t)x & 3) && n >= 4) {
        mt_scale_words(factor, less, x, n & ~3, to);
        to += n & ~3;
        x += n & ~3;
    }
#elif MT_RV32
    for (; to + 4 <= end; x += 4, to += 4) {
        to[0] = factor * x[0] - less;
        to[1] = factor * x[1] - less;
        to[2] = factor * x[2] - less;
        to[3] = factor * x[3] - less;
    }
#elif MT_ROWS // whole words
    for (; !((uintptr_t)x & 3) && to + 4 <= end; x += 4, to += 4) {
        int32_t word = *(const int32_t *)(const void *)x;
        to[0] = factor * (int8_t)word - less;
        to[1] = factor * (int8_t)(word >> 8) - less;
        to[2] = factor * (int8_t)(word >> 16) - less;
        to[3] = factor * (word >> 24) - less;
    }
#endif
    while (to < end) {
        *to++ = factor * *x++ - less;
    }
}
#endif

// Terms of n gradients, zeros left out, for rows `pitch` bytes apart: factors (gradient * multiplier + 2^(shift - 1)) >> shift, which are also added to
// `total` where MT_NESTED needs it. Returns the terms' end.
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
            sum += MT_NESTED ? terms->factor : 0;
            terms++;
        }
    }
    *total += sum;
    return terms;
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

#endif // MT_ROWS_H
