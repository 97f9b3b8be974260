// CRC-32 as in zlib and IEEE 802.3.
#ifndef MT_CRC32_H
#define MT_CRC32_H

#include <stddef.h>
#include <stdint.h>

// Goes on with `crc`, that of the bytes before; 0 at the beginning.
uint32_t mt_crc32(uint32_t crc, const uint8_t *data, size_t n);

#endif // MT_CRC32_H
