// Accumulators to bytes, as gradients are stored.
#ifndef MT_ROUND_H
#define MT_ROUND_H

#include <stdint.h>

// out[i] = acc[i] * 2^-shift, rounded half up; n a multiple of 4, 1 <= shift <= 24. Returns the OR of all magnitudes. Where that reaches bit 31, a
// value may have left [-127, 127] and `out` is not to be used.
#if defined(__ARM_ARCH_6M__)
uint32_t mt_round_bytes(const int32_t *acc, int32_t n, int32_t shift, int8_t *out);
#elif defined(__ARM_FEATURE_DSP)
#include "armv7em/round.h"
#else
static inline uint32_t mt_round_bytes(const int32_t *acc, int32_t n, int32_t shift, int8_t *out) {
    const uint32_t half = (uint32_t)1 << (shift - 1), most = ((uint32_t)127 << shift) + half;
    uint32_t seen = 0, over = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t a = (uint32_t)acc[i], sign = 0u - (a >> 31), magnitude = (a ^ sign) - sign;
        seen |= magnitude;
        over |= most - 1 - magnitude;
        out[i] = (int8_t)((int32_t)(a + half) >> shift);
    }
    return seen | (over & (uint32_t)1 << 31);
}
#endif

#endif // MT_ROUND_H
