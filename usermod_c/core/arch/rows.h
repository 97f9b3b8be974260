// Sums of rows of a matrix, each times a factor: what an input gradient is of the weights' rows, and a weight gradient of the input's pixels. Terms
// with a factor of zero, as half of all masked gradients are, stay out of the list.
#ifndef MT_ROWS_H
#define MT_ROWS_H

#if defined(__ARM_FEATURE_DSP)
#include "armv7em/dsp.h"
#endif
#include "generic/kernels.h"

#ifndef MT_ROWS // whether packed rows and widened weights, below, pay
#if defined(__ARM_ARCH_6M__)
#define MT_ROWS 1
#else
#define MT_ROWS 0
#endif
#endif

typedef struct {
    int32_t factor;
    int32_t offset; // of the row, bytes
} mt_term_t;

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
    const mt_term_t *end = terms + count;
    int32_t i = 0;
#if !defined(__SSE2__) && !defined(__ARM_NEON)
    for (; count && i + 4 <= n; i += 4) { // four sums in registers
        int32_t a0 = acc[i], a1 = acc[i + 1], a2 = acc[i + 2], a3 = acc[i + 3];
        for (const mt_term_t *t = terms; t < end; t++) {
            const int8_t *row = rows + t->offset + i;
#if defined(__ARM_FEATURE_DSP)
            uint32_t factor = (uint32_t)t->factor, word = mt_load4(row), even = mt_even_bytes(word), odd = mt_odd_bytes(word);
            a0 = mt_low_low_add(factor, even, a0);
            a1 = mt_low_low_add(factor, odd, a1);
            a2 = mt_low_high_add(factor, even, a2);
            a3 = mt_low_high_add(factor, odd, a3);
#else
            a0 += t->factor * row[0];
            a1 += t->factor * row[1];
            a2 += t->factor * row[2];
            a3 += t->factor * row[3];
#endif
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

// sums[r][0..3] = sum over k of factors[r][k] * panel[k][0..3], for `rows` rows of n factors, a multiple of 8, and sums `pitch` apart: what
// mt_add_rows does, where few factors are zero and the values of four columns have been widened for all rows.
#if defined(__ARM_ARCH_6M__)
void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch);
#else
static inline void mt_multiply_panel(const int16_t *factors, const int32_t *panel, int32_t n, int32_t rows, int32_t *sums, int32_t pitch) {
    for (; rows > 0; rows--, factors += n, sums += pitch) {
        sums[0] = sums[1] = sums[2] = sums[3] = 0;
        for (int32_t k = 0; k < n; k++) {
            for (int32_t j = 0; j < 4; j++) {
                sums[j] += factors[k] * panel[4 * k + j];
            }
        }
    }
}
#endif

// Row of n values (a multiple of 4) in words of two, x0 + (x2 << 16), x1 + (x3 << 16) (panel.h), for:
static inline void mt_pack_row(const int8_t *x, int32_t n, int32_t *words) {
    if (!((uintptr_t)x & 3)) { // the bytes as numbers from 0 to 255, taken apart
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
    for (const mt_term_t *end = terms + count; terms < end; terms++) {
        for (int32_t i = 0; i < n; i++) {
            int32_t word = rows[terms->offset / 4 + i / 4 * 2 + i % 2], low = (int16_t)word;
            acc[i] += terms->factor * (i % 4 < 2 ? low : (word - low) / 65536);
        }
    }
}
#endif

#endif // MT_ROWS_H
