// Division of floating-point numbers for ARMv6-M. The compiler's own cannot be part of a native module: it jumps through a table of addresses.
// Rounds to nearest even as IEEE 754 says; results below the normal range become zero, and infinities and NaNs give infinities, as the engine
// never divides by or gets them.
#include <stdint.h>
#include <string.h>

double __aeabi_ddiv(double a, double b);
float __aeabi_fdiv(float a, float b);

#define FRACTION_BITS 52
#define BIAS 1023

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

double __aeabi_ddiv(double a, double b) {
    const uint64_t one = (uint64_t)1 << FRACTION_BITS;
    uint64_t x = bits_of(a), y = bits_of(b), sign = (x ^ y) >> 63 << 63;
    int exponent_x = (int)(x >> FRACTION_BITS & 0x7FF), exponent_y = (int)(y >> FRACTION_BITS & 0x7FF);
    int exponent = exponent_x - exponent_y + BIAS;
    x = (x & (one - 1)) | one;
    y = (y & (one - 1)) | one;
    if (x < y) {
        x <<= 1;
        exponent--;
    }
    uint64_t quotient = 0; // 53 bits and one to round by
    for (int i = 0; i <= FRACTION_BITS + 1; i++) {
        quotient <<= 1;
        if (x >= y) {
            x -= y;
            quotient |= 1;
        }
        x <<= 1;
    }
    quotient = (quotient >> 1) + (quotient & 1 & ((x != 0) | quotient >> 1));
    // A carry out of the fraction goes into the exponent.
    uint64_t result = ((uint64_t)(exponent - 1) << FRACTION_BITS) + quotient;
    if (exponent_y == 0 || exponent_x == 0x7FF || exponent >= 0x7FF) {
        result = (uint64_t)0x7FF << FRACTION_BITS;
    } else if (exponent_x == 0 || exponent <= 0) {
        result = 0;
    }
    result |= sign;
    double value;
    memcpy(&value, &result, sizeof(value));
    return value;
}

// A double holds more than twice a float's bits, so that rounding twice is rounding once.
float __aeabi_fdiv(float a, float b) {
    return (float)__aeabi_ddiv((double)a, (double)b);
}
