// One block of SHA-256.
#ifndef MT_ARCH_SHA256_H
#define MT_ARCH_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef MT_SHA_NI // whether x86/sha256.c is there, for processors that can
#define MT_SHA_NI 0
#endif
#if MT_SHA_NI
bool mt_sha256_is_native(void);
void mt_sha256_native(uint32_t state[8], const uint8_t *data, size_t blocks, const uint32_t k[64]); // the same as below, of many
#endif

// Goes on from `state` with the 64 bytes at `block`, a multiple of 4, and the round constants k.
#if defined(__ARM_ARCH_6M__)
void mt_sha256_block(uint32_t state[8], const uint8_t *block, const uint32_t k[64]);
#define MT_SHA256_ALIGNED (1)
#else
static inline uint32_t rotate(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static inline uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// A round: d becomes the next round's e, h its a. Its caller names them anew, which moves nothing.
#define ROUND(a, b, c, d, e, f, g, h, kw) \
    do { \
        h += (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + (kw); \
        d += h; \
        h += (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b))); \
    } while (0)

static inline void mt_sha256_block(uint32_t state[8], const uint8_t *block, const uint32_t k[64]) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        w[i] = big_endian(block + 4 * i);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, k[i] + w[i]);
        ROUND(h, a, b, c, d, e, f, g, k[i + 1] + w[i + 1]);
        ROUND(g, h, a, b, c, d, e, f, k[i + 2] + w[i + 2]);
        ROUND(f, g, h, a, b, c, d, e, k[i + 3] + w[i + 3]);
        ROUND(e, f, g, h, a, b, c, d, k[i + 4] + w[i + 4]);
        ROUND(d, e, f, g, h, a, b, c, k[i + 5] + w[i + 5]);
        ROUND(c, d, e, f, g, h, a, b, k[i + 6] + w[i + 6]);
        ROUND(b, c, d, e, f, g, h, a, k[i + 7] + w[i + 7]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}
#endif

#endif // MT_ARCH_SHA256_H
