// Inner loops with the DSP extension's two multiplications at once.
#ifndef MT_ARMV7EM_KERNELS_H
#define MT_ARMV7EM_KERNELS_H

#include "dsp.h"

#define MT_DOT 1
static inline int32_t mt_dot(const int8_t *x, const int8_t *w, int32_t n) {
    int32_t a = 0;
    for (const int8_t *end = x + (n & ~3); x < end; x += 4, w += 4) {
        uint32_t xs = mt_load4(x), ws = mt_load4(w);
        a = mt_smlad(mt_odd_bytes(xs), mt_odd_bytes(ws), mt_smlad(mt_even_bytes(xs), mt_even_bytes(ws), a));
    }
    for (n &= 3; n; n--) {
        a += *x++ * *w++;
    }
    return a;
}

#define MT_DOT4 1
void mt_dot4_fours(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]); // n > 0, a multiple of 4

#endif // MT_ARMV7EM_KERNELS_H
