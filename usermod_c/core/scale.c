#include "scale.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "float constants must be evaluated in their own type: use SSE2 (-msse2 -mfpmath=sse) on x86"
#endif

// x = fraction * 2^exponent with fraction in [0.5, 1).
static double split(double x, int *exponent) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    *exponent = (int)((bits >> 52) & 0x7FF) - 1022;
    bits = (bits & 0x000FFFFFFFFFFFFFull) | 0x3FE0000000000000ull;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

mt_q31_t mt_q31(double x) {
    mt_q31_t q;
    int64_t m = (int64_t)(split(x, &q.exponent) * 2147483648.0 + 0.5);
    if (m == (int64_t)1 << 31) {
        m >>= 1;
        q.exponent++;
    }
    q.mantissa = (int32_t)m;
    return q;
}

int mt_ceil_log2(float x) {
    int e;
    return split(x, &e) == 0.5 ? e - 1 : e;
}

int16_t mt_fold_multiplier(float scale, int exponent) {
    int e;
    double fraction = split(scale, &e);
    int below = exponent - e; // 0 or more for a scale up to 2^exponent; -1 for exactly 2^exponent
    if (below < 0) {
        return 32767;
    }
    if (below > 15) {
        return 0;
    }
    int64_t m = (int64_t)(fraction * (double)((int32_t)1 << (15 - below)) + 0.5);
    return (int16_t)(m > 32767 ? 32767 : m);
}
