#include "crc32.h"

#include <string.h>

// Bytes taken at a time, with a table of 1 KB each. In order processors gain nothing from more than one; others wait for the last look-up.
#if UINTPTR_MAX > 0xffffffff
#define SLICES (8)
#else
#define SLICES (1)
#endif

// Remainders, polynomial 0xedb88320 (reflected), of each byte and as many zero bytes as the table's number. They are sums of those of the eight bits.
#define ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7) \
    (((i) & 1 ? b0 : 0u) ^ ((i) & 2 ? b1 : 0u) ^ ((i) & 4 ? b2 : 0u) ^ ((i) & 8 ? b3 : 0u) \
        ^ ((i) & 16 ? b4 : 0u) ^ ((i) & 32 ? b5 : 0u) ^ ((i) & 64 ? b6 : 0u) ^ ((i) & 128 ? b7 : 0u))
#define FOUR(i, ...) ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__), ENTRY((i) + 3, __VA_ARGS__)
#define SIXTEEN(i, ...) FOUR(i, __VA_ARGS__), FOUR((i) + 4, __VA_ARGS__), FOUR((i) + 8, __VA_ARGS__), FOUR((i) + 12, __VA_ARGS__)
#define SIXTY_FOUR(i, ...) \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN((i) + 16, __VA_ARGS__), SIXTEEN((i) + 32, __VA_ARGS__), SIXTEEN((i) + 48, __VA_ARGS__)
#define TABLE(...) {SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__), SIXTY_FOUR(192, __VA_ARGS__)}

static const uint32_t tables[SLICES][256] = {
    TABLE(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320),
    #if SLICES == 8
    TABLE(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b),
    TABLE(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80),
    TABLE(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b),
    TABLE(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1, 0x60e09782, 0xc1c12f04, 0x58f35849, 0xb1e6b092),
    TABLE(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d, 0x03d6029b, 0x07ac0536, 0x0f580a6c, 0x1eb014d8),
    TABLE(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67, 0x67de9cce, 0xcfbd399c, 0x440b7579, 0x8816eaf2),
    TABLE(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5, 0x7cbb312b, 0xf9766256, 0x299dc2ed, 0x533b85da),
    #endif
};

static uint32_t bytes(uint32_t crc, const uint8_t *data, size_t n) {
    for (size_t i = 0; i < n; i++) {
        crc = crc >> 8 ^ tables[0][(crc ^ data[i]) & 255];
    }
    return crc;
}

// Four bytes at a multiple of 4 in one load; all targets are little-endian.
static uint32_t word(const uint8_t *at) {
    uint32_t w;
    memcpy(&w, __builtin_assume_aligned(at, 4), sizeof(w));
    return w;
}

uint32_t mt_crc32(uint32_t crc, const uint8_t *data, size_t n) {
    size_t first = (0 - (uintptr_t)data) % 4;
    first = first < n ? first : n;
    crc = bytes(~crc, data, first);
    data += first;
    n -= first;
    for (; n >= 8; data += 8, n -= 8) {
        uint32_t a = word(data) ^ crc, b = word(data + 4);
        #if SLICES == 8
        crc = tables[7][a & 255] ^ tables[6][a >> 8 & 255] ^ tables[5][a >> 16 & 255] ^ tables[4][a >> 24]
            ^ tables[3][b & 255] ^ tables[2][b >> 8 & 255] ^ tables[1][b >> 16 & 255] ^ tables[0][b >> 24];
        #else
        for (int i = 0; i < 4; i++) {
            a = a >> 8 ^ tables[0][a & 255];
        }
        crc = a ^ b;
        for (int i = 0; i < 4; i++) {
            crc = crc >> 8 ^ tables[0][crc & 255];
        }
        #endif
    }
    return ~bytes(crc, data, n);
}
