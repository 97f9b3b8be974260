// Fixed-point arithmetic shared by the operators. Shifts of negative numbers are arithmetic on every supported compiler.
#ifndef MT_FIXED_H
#define MT_FIXED_H

#include <stdint.h>

static inline int32_t mt_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

static inline int32_t mt_clamp64(int64_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : (int32_t)x;
}

static inline int32_t mt_min(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t mt_abs(int32_t x) {
    return x < 0 ? -x : x;
}

// Bits needed for a magnitude: 0 for 0.
static inline int mt_bit_length(uint32_t m) {
    int n = 0;
    for (; m; m >>= 1) {
        n++;
    }
    return n;
}

// Right shift rounding half up; s <= 0 shifts left. |s| <= 62.
static inline int64_t mt_round_shift(int64_t x, int s) {
    return s <= 0 ? x * ((int64_t)1 << -s) : (x + ((int64_t)1 << (s - 1))) >> s;
}

// Whether the processor multiplies to 32 bits only, so that a product of 64 is better put together here than by the compiler's library.
#ifndef MT_SHORT_MULTIPLY
#if defined(__ARM_ARCH_6M__)
#define MT_SHORT_MULTIPLY 1
#else
#define MT_SHORT_MULTIPLY 0
#endif
#endif

// floor((x * m + 2^30) / 2^31), m >= 0.
static inline int32_t mt_rounded_high(int32_t x, int32_t m) {
    if (!MT_SHORT_MULTIPLY) {
        return (int32_t)(((int64_t)x * m + ((int64_t)1 << 30)) >> 31);
    }
    int32_t x_low = x & 0xFFFF, x_high = x >> 16, m_low = m & 0xFFFF, m_high = m >> 16;
    int32_t middle = x_high * m_low + (int32_t)((uint32_t)x_low * (uint32_t)m_low >> 16); // of the product, from bit 16 on
    int32_t rest = (middle & 0xFFFF) + x_low * m_high;
    return 2 * (x_high * m_high + (middle >> 16)) + ((rest + 0x4000) >> 15);
}

// floor(x * m / 2^32), m < 2^31.
static inline uint32_t mt_high(uint32_t x, uint32_t m) {
    if (!MT_SHORT_MULTIPLY) {
        return (uint32_t)((uint64_t)x * m >> 32);
    }
    uint32_t x_low = x & 0xFFFF, x_high = x >> 16, m_low = m & 0xFFFF, m_high = m >> 16;
    uint32_t middle = x_high * m_low + (x_low * m_low >> 16), rest = (middle & 0xFFFF) + x_low * m_high;
    return x_high * m_high + (middle >> 16) + (rest >> 16);
}

// acc * 2^shift, saturating; and the whole of mt_requantize_once. Apart, so that kernels keep their registers for what happens.
int32_t mt_shift_up(int32_t acc, int shift);
int32_t mt_requantize_once_wide(int32_t acc, int32_t mult, int shift);

// x * 2^-s rounded, ties away from zero; 0 <= s <= 31.
static inline int32_t mt_round_right(int32_t x, int s) {
    uint32_t mask = ((uint32_t)1 << s) - 1;
    uint32_t threshold = (mask >> 1) + (x < 0);
    return (x >> s) + (((uint32_t)x & mask) > threshold);
}

// TFLite's MultiplyByQuantizedMultiplier with gemmlowp's two roundings: acc * mult * 2^(shift - 31), mult in Q31.
static inline int32_t mt_requantize(int32_t acc, int32_t mult, int shift) {
    if (shift > 0) {
        acc = mt_shift_up(acc, shift);
        shift = 0;
    }
    return mt_round_right(mt_rounded_high(acc, mult), -shift);
}

// The same rounded once (LiteRT's FULLY_CONNECTED, float references), ties away from zero.
static inline int32_t mt_requantize_once(int32_t acc, int32_t mult, int shift) {
    if (shift < -1) { // the product's lower half does not matter
        int32_t magnitude = (int32_t)((mt_high(acc < 0 ? 0u - (uint32_t)acc : (uint32_t)acc, (uint32_t)mult) + (1u << (-shift - 2))) >> (-shift - 1));
        return acc < 0 ? -magnitude : magnitude;
    }
    return mt_requantize_once_wide(acc, mult, shift);
}

static inline uint32_t mt_align(uint32_t n, uint32_t alignment) {
    return (n + alignment - 1) & ~(alignment - 1);
}

static inline uint32_t mt_xorshift32(uint32_t *state) {
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

// v * 2^-shift, rounded up with the probability of what is cut off; 1 <= shift <= 62.
static inline int64_t mt_stochastic_shift(int64_t v, int shift, uint32_t *rng) {
    uint32_t r = mt_xorshift32(rng);
    int64_t noise = shift > 32 ? (int64_t)r << (shift - 32) : r >> (32 - shift);
    return (v + noise) >> shift;
}

// The same of x * m with the random number r, 32 <= shift <= 62, |m| < 2^31.
static inline int32_t mt_stochastic_product(int32_t x, int32_t m, int shift, uint32_t r) {
    const int down = shift - 32;
    if (!MT_SHORT_MULTIPLY) {
        return (int32_t)((((int64_t)x * m >> down) + r) >> 32);
    }
    int32_t x_low = x & 0xFFFF, x_high = x >> 16, m_low = m & 0xFFFF, m_high = m >> 16;
    int32_t middle = x_high * m_low + (int32_t)((uint32_t)x_low * (uint32_t)m_low >> 16); // of the product, from bit 16 on
    int32_t high = x_high * m_high + (middle >> 16) + ((x_low * m_high + (middle & 0xFFFF)) >> 16);
    uint32_t low = (uint32_t)x * (uint32_t)m;
    low = low >> down | (uint32_t)high << 1 << (31 - down);
    return (high >> down) + (low + r < low);
}

#endif // MT_FIXED_H
