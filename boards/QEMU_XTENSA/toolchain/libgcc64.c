// What libgcc has in C of arithmetic on 64 bits: division, multiplication, counting bits.

#include <stdint.h>

static uint64_t divide(uint64_t n, uint64_t d, uint64_t *remainder) {
    uint64_t quotient = 0, rest = 0;
    for (int bit = 63; bit >= 0 && d != 0; bit--) {
        rest = rest << 1 | (n >> bit & 1);
        if (rest >= d) {
            rest -= d;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *remainder = rest;
    return quotient;
}

static uint64_t magnitude(int64_t v) {
    return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

uint64_t __udivdi3(uint64_t n, uint64_t d) {
    uint64_t remainder;
    return divide(n, d, &remainder);
}

uint64_t __umoddi3(uint64_t n, uint64_t d) {
    uint64_t remainder;
    divide(n, d, &remainder);
    return remainder;
}

int64_t __divdi3(int64_t n, int64_t d) {
    uint64_t quotient = __udivdi3(magnitude(n), magnitude(d));
    return (n < 0) != (d < 0) ? -quotient : quotient;
}

int64_t __moddi3(int64_t n, int64_t d) {
    uint64_t remainder = __umoddi3(magnitude(n), magnitude(d));
    return n < 0 ? -remainder : remainder;
}

uint64_t __umulsidi3(uint32_t a, uint32_t b);

int64_t __muldi3(int64_t a, int64_t b) {
    uint32_t a_low = a, a_high = (uint64_t)a >> 32, b_low = b, b_high = (uint64_t)b >> 32;
    return __umulsidi3(a_low, b_low) + ((uint64_t)(a_low * b_high + a_high * b_low) << 32);
}

int __popcountsi2(uint32_t v) {
    int count = 0;
    for (; v; v &= v - 1) {
        count++;
    }
    return count;
}

int __clzdi2(uint64_t v) {
    uint32_t high = v >> 32;
    return high ? __builtin_clz(high) : 32 + __builtin_clz((uint32_t)v);
}

int __ctzdi2(uint64_t v) {
    uint32_t low = v;
    return low ? __builtin_ctz(low) : 32 + __builtin_ctz((uint32_t)(v >> 32));
}
