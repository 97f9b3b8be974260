#include "scale.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "float constants must be evaluated in their own type: use SSE2 (-msse2 -mfpmath=sse) on x86"
#endif

// x = mantissa * 2^(exponent - 53), mantissa in [2^52, 2^53).
static uint64_t split(double x, int *exponent) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    *exponent = (int)((bits >> 52) & 0x7FF) - 1022;
    return (bits & 0x000FFFFFFFFFFFFFull) | 0x0010000000000000ull;
}

// x = mantissa * 2^(exponent - 24), mantissa in [2^23, 2^24).
static uint32_t split_float(float x, int *exponent) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    *exponent = (int)(bits >> 23) - 126;
    return (bits & 0x007FFFFF) | 0x00800000;
}

mt_q31_t mt_q31(double x) {
    mt_q31_t q;
    uint32_t m = (uint32_t)((split(x, &q.exponent) + (1 << 21)) >> 22);
    if (m >> 31) {
        m >>= 1;
        q.exponent++;
    }
    q.mantissa = (int32_t)m;
    return q;
}

int mt_ceil_log2(float x) {
    int e;
    return split_float(x, &e) == 0x00800000 ? e - 1 : e;
}

int16_t mt_fold_multiplier(float scale, int exponent) {
    int e;
    uint32_t mantissa = split_float(scale, &e);
    int below = exponent - e; // 0 or more for a scale up to 2^exponent; -1 for exactly 2^exponent
    if (below < 0) {
        return 32767;
    }
    if (below > 15) {
        return 0;
    }
    uint32_t m = (mantissa + (1u << (8 + below))) >> (9 + below);
    return (int16_t)(m > 32767 ? 32767 : m);
}
