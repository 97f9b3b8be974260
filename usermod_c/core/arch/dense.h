// Products of dense matrices in the backward passes of 1x1 convolutions: rows of factors, some of them interleaved, times panels of four columns of
// int8 values. An input gradient's factors are gradients of 16 bits and its columns weights; a weight gradient is a sum of outer products of
// gradients and inputs, both of 8 bits.
#ifndef MT_DENSE_H
#define MT_DENSE_H

#include <stdbool.h>
#include <string.h>

#include "panel.h"

#ifndef MT_DENSE // whether weight gradients pay; input gradients do where MT_ROWS does
#if defined(__ARM_FEATURE_DSP) || MT_RV32 || MT_MAC16
#define MT_DENSE 1
#else
#define MT_DENSE 0
#endif
#endif

typedef struct { // gradients -> rows of factors, MT_FACTOR_ROWS of them interleaved
    const int16_t *multipliers; // [n]
    int16_t *factors;
    int32_t n, depth; // gradients of a row, factors: the rest are 0
    int shift; // |q| * multiplier < 2^(shift + 15)
    int32_t at[4]; // where each row begins in q
} mt_fold_t;

#define MT_OUTER_ZEROS 2 // how many of four gradients may be zero: sums of terms (rows.h) leave them out
#if defined(__ARM_FEATURE_DSP) || MT_MAC16 // the same of input gradients
#define MT_FACTOR_ZEROS 2
#elif defined(__ARM_ARCH_6M__)
#define MT_FACTOR_ZEROS 0 // never: nearly always terms are faster
#else
#define MT_FACTOR_ZEROS 1
#endif
#if defined(__ARM_FEATURE_DSP)
#include "armv7em/dense.h"
#elif MT_MAC16
#include "xtensa/dense.h"
#elif MT_RV32
#include "rv32/dense.h"
#else
#include "generic/dense.h"
#endif

// Where factor k of a row lies, for rows of n: MT_FACTOR_ROWS rows take turns, MT_FACTOR_RUN factors each.
static inline int32_t mt_factor_at(int32_t row, int32_t k, int32_t n) {
    const int32_t rows = MT_FACTOR_ROWS, run = MT_FACTOR_RUN;
    return row / rows * rows * n + k / run * run * rows + row % rows * run + k % run;
}

static inline int16_t mt_fold_one(int32_t q, int32_t multiplier, int shift) {
    return (int16_t)((q * multiplier + (1 << (shift - 1))) >> shift);
}

// q are int16 if `wide`, else int8.
static inline void mt_fold(const mt_fold_t *f, const void *q, bool wide) {
    const int32_t n = f->n;
    int32_t o = 0;
#ifdef MT_FOLD_DENSE
    o = wide ? 0 : mt_fold_dense(f, q);
#endif
    for (; o < n; o++) {
        int16_t *to = f->factors + mt_factor_at(0, o, f->depth);
        for (int32_t i = 0; i < MT_FACTOR_ROWS; i++) {
            int32_t at = f->at[i] + o;
            to[i * MT_FACTOR_RUN] = mt_fold_one(wide ? ((const int16_t *)q)[at] : ((const int8_t *)q)[at], f->multipliers[o], f->shift);
        }
    }
    for (; o < f->depth; o++) {
        for (int32_t i = 0; i < MT_FACTOR_ROWS; i++) {
            f->factors[mt_factor_at(i, o, f->depth)] = 0;
        }
    }
}

#endif // MT_DENSE_H
