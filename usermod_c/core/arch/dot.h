// One vector times many rows of weights, as a linear operator does: the vector is packed, so that one multiplication makes two products.
#ifndef MT_DOT_H
#define MT_DOT_H

#include <stdint.h>

#include "xtensa/kernels.h"

#ifndef MT_VECTORS // whether it pays
#if defined(__ARM_ARCH_6M__) || MT_MAC16
#define MT_VECTORS 1
#else
#define MT_VECTORS 0
#endif
#endif

// n values (a multiple of 8) in n / 2 words, x2 + (x0 << 16), x3 + (x1 << 16) of every four; for MAC16 one behind the other.
static inline void mt_pack_vector(const int8_t *x, int32_t n, int32_t *words) {
#if MT_MAC16
    mt_widen(x, n, (int16_t *)(void *)words);
#else
    for (const int8_t *end = x + n; x < end; x += 4, words += 2) {
        words[0] = x[2] + x[0] * 65536;
        words[1] = x[3] + x[1] * 65536;
    }
#endif
}

// Sum of row[i] * x[i] of a word-aligned row of weights.
#if defined(__ARM_ARCH_6M__) || MT_MAC16
int32_t mt_dot_packed(const int8_t *row, const int32_t *words, int32_t n);
#else
static inline int32_t mt_dot_packed(const int8_t *row, const int32_t *words, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i += 4, row += 4, words += 2) {
        for (int32_t j = 0; j < 2; j++) {
            int32_t low = (int16_t)words[j];
            sum += row[j] * ((words[j] - low) / 65536) + row[j + 2] * low;
        }
    }
    return sum;
}
#endif

#endif // MT_DOT_H
