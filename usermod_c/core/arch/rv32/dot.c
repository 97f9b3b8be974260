// mt_dot4 (../generic/kernels.h) in steps of four values, and not inline: its loop needs all registers.
#if defined(__riscv_mul)

#include "../hot.h"
#include "../kernels.h"

MT_HOT void mt_dot4(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]) {
    const int8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
    for (const int8_t *end = x + (n & ~3); x < end; x += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4) {
        const int32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
        a0 += x0 * w0[0] + x1 * w0[1] + x2 * w0[2] + x3 * w0[3];
        a1 += x0 * w1[0] + x1 * w1[1] + x2 * w1[2] + x3 * w1[3];
        a2 += x0 * w2[0] + x1 * w2[1] + x2 * w2[2] + x3 * w2[3];
        a3 += x0 * w3[0] + x1 * w3[1] + x2 * w3[2] + x3 * w3[3];
    }
    for (n &= 3; n; n--, x++) {
        a0 += *x * *w0++;
        a1 += *x * *w1++;
        a2 += *x * *w2++;
        a3 += *x * *w3++;
    }
    acc[0] = a0;
    acc[1] = a1;
    acc[2] = a2;
    acc[3] = a3;
}

#endif
