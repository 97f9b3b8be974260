// Plain C, written so that a compiler with vector instructions uses them; of each function what no folder beside this one has.
#ifndef MT_GENERIC_KERNELS_H
#define MT_GENERIC_KERNELS_H

#include <stdint.h>

#define MT_RESTRICT __restrict

#ifdef MT_DOT4
void mt_dot4(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]);
#else
// acc[j] += sum of x[i] * w[j][i], four weight rows against one input row.
static inline void mt_dot4(const int8_t *MT_RESTRICT x, const int8_t *const w[4], int32_t n, int32_t acc[4]) {
    const int8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (int32_t i = 0; i < n; i++) {
        a0 += (int16_t)(x[i] * w0[i]);
        a1 += (int16_t)(x[i] * w1[i]);
        a2 += (int16_t)(x[i] * w2[i]);
        a3 += (int16_t)(x[i] * w3[i]);
    }
    acc[0] += a0;
    acc[1] += a1;
    acc[2] += a2;
    acc[3] += a3;
}
#endif

#ifndef MT_DOT
static inline int32_t mt_dot(const int8_t *MT_RESTRICT x, const int8_t *MT_RESTRICT w, int32_t n) {
    int32_t a = 0;
    for (int32_t i = 0; i < n; i++) {
        a += (int16_t)(x[i] * w[i]);
    }
    return a;
}
#endif

// acc[i] += scale * x[i], |scale| <= 32767.
static inline void mt_axpy(int32_t *MT_RESTRICT acc, int32_t scale, const int8_t *MT_RESTRICT x, int32_t n) {
    const int16_t s = (int16_t)scale;
    for (int32_t i = 0; i < n; i++) {
        acc[i] += s * (int16_t)x[i];
    }
}

// acc[i] += x[i] * w[i].
static inline void mt_multiply_add(int32_t *MT_RESTRICT acc, const int8_t *MT_RESTRICT x, const int8_t *MT_RESTRICT w, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] += (int16_t)(x[i] * w[i]);
    }
}

// The same for int16 x.
static inline void mt_multiply_add_wide(int32_t *MT_RESTRICT acc, const int16_t *MT_RESTRICT x, const int8_t *MT_RESTRICT w, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        acc[i] += x[i] * w[i];
    }
}

static inline int32_t mt_sum(const int8_t *x, int32_t n) {
    int32_t a = 0;
    for (int32_t i = 0; i < n; i++) {
        a += x[i];
    }
    return a;
}

#endif // MT_GENERIC_KERNELS_H
