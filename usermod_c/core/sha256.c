#include "sha256.h"

#include <string.h>

#include "arch/sha256.h"

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks) {
    #if MT_SHA_NI
    if (mt_sha256_is_native()) {
        mt_sha256_native(state, data, blocks, round_constants);
        return;
    }
    #endif
    for (; blocks; blocks--, data += MT_SHA256_BLOCK) {
        #ifdef MT_SHA256_ALIGNED
        uint32_t aligned[MT_SHA256_BLOCK / 4];
        if ((uintptr_t)data % 4) {
            memcpy(aligned, data, sizeof(aligned));
            mt_sha256_block(state, (const uint8_t *)aligned, round_constants);
            continue;
        }
        #endif
        mt_sha256_block(state, data, round_constants);
    }
}

void mt_sha256_init(mt_sha256_t *s) {
    static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->h, h, sizeof(h));
    s->length = 0;
}

void mt_sha256_update(mt_sha256_t *s, const uint8_t *data, size_t n) {
    size_t rest = s->length % MT_SHA256_BLOCK;
    s->length += n;
    if (rest) {
        size_t lacking = MT_SHA256_BLOCK - rest < n ? MT_SHA256_BLOCK - rest : n;
        memcpy(s->rest + rest, data, lacking);
        if (rest + lacking < MT_SHA256_BLOCK) {
            return;
        }
        compress(s->h, s->rest, 1);
        data += lacking;
        n -= lacking;
    }
    compress(s->h, data, n / MT_SHA256_BLOCK);
    if (n % MT_SHA256_BLOCK) {
        memcpy(s->rest, data + n - n % MT_SHA256_BLOCK, n % MT_SHA256_BLOCK);
    }
}

void mt_sha256_digest(const mt_sha256_t *s, uint8_t digest[32]) {
    uint32_t h[8];
    uint8_t tail[2 * MT_SHA256_BLOCK] = {0};
    size_t rest = s->length % MT_SHA256_BLOCK, blocks = rest < MT_SHA256_BLOCK - 8 ? 1 : 2;
    memcpy(h, s->h, sizeof(h));
    memcpy(tail, s->rest, rest);
    tail[rest] = 0x80;
    uint64_t bits = s->length * 8;
    for (uint8_t *p = tail + blocks * MT_SHA256_BLOCK - 1; bits; p--, bits >>= 8) {
        *p = (uint8_t)bits;
    }
    compress(h, tail, blocks);
    for (int i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void mt_sha256(const uint8_t *data, size_t length, uint8_t digest[32]) {
    mt_sha256_t s;
    mt_sha256_init(&s);
    mt_sha256_update(&s, data, length);
    mt_sha256_digest(&s, digest);
}
