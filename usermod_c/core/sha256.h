// SHA-256 (FIPS 180-4).
#ifndef MT_SHA256_H
#define MT_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define MT_SHA256_BLOCK (64)

typedef struct {
    uint32_t h[8];
    uint64_t length; // bytes taken
    uint8_t rest[MT_SHA256_BLOCK]; // those of them that are no whole block yet
} mt_sha256_t;

void mt_sha256_init(mt_sha256_t *s);
// Takes n more bytes, at any address.
void mt_sha256_update(mt_sha256_t *s, const uint8_t *data, size_t n);
// Of what was taken so far; more may be taken after it.
void mt_sha256_digest(const mt_sha256_t *s, uint8_t digest[32]);

// Of `length` bytes.
void mt_sha256(const uint8_t *data, size_t length, uint8_t digest[32]);

#endif // MT_SHA256_H
