#ifndef MT_SHA256_H
#define MT_SHA256_H

#include <stddef.h>
#include <stdint.h>

// SHA-256 (FIPS 180-4) of `length` bytes.
void mt_sha256(const uint8_t *data, size_t length, uint8_t digest[32]);

#endif // MT_SHA256_H
