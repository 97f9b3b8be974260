// Tells a whole checkpoint from a torn one by its first bytes.
#include "checkpoint.h"

#include <string.h>

#include "crc32.h"
#include "error.h"

typedef struct { // the first 64 bytes
    uint8_t magic[4];
    uint16_t major, minor;
    uint32_t description, state;
    uint8_t image[32];
    uint32_t steps, epochs, seed;
    float lr;
} header_t;

// Whether a description begins {"header_crc32": "01234567",  with this number.
static bool names_crc(const uint8_t *text, uint32_t crc) {
    static const char digits[] = "0123456789abcdef";
    if (memcmp(text, "{\"header_crc32\": \"", 18) || memcmp(text + 26, "\", ", 3)) {
        return false;
    }
    for (int i = 0; i < 8; i++) {
        if (text[18 + i] != (uint8_t)digits[crc >> (28 - 4 * i) & 15]) {
            return false;
        }
    }
    return true;
}

int mt_checkpoint_open(mt_checkpoint_t *checkpoint, const uint8_t *head, size_t head_bytes, uint32_t length, mt_error_t *error) {
    header_t h;
    if (head_bytes < sizeof(h) || memcmp(head, "MTC1", 4)) {
        return mt_fail(error, MT_ERR_MAGIC, -1, 0, 0);
    }
    memcpy(&h, head, sizeof(h)); // at any address
    if (h.major != MT_CHECKPOINT_MAJOR) {
        return mt_fail(error, MT_ERR_VERSION, -1, MT_CHECKPOINT_MAJOR, h.major);
    }
    if (h.minor && (head_bytes < MT_CHECKPOINT_HEAD || !names_crc(head + sizeof(h), mt_crc32(0, head, sizeof(h))))) {
        return mt_fail(error, MT_ERR_CRC, -1, 0, 0);
    }
    uint64_t need = (uint64_t)sizeof(h) + h.description + h.state + MT_CHECKPOINT_DIGEST;
    if (need != length) {
        return mt_fail(error, MT_ERR_LENGTH, -1, need > UINT32_MAX ? UINT32_MAX : (uint32_t)need, length);
    }
    if (!(h.lr >= 0.0f && h.lr < 2147483648.0f)) {
        return mt_fail(error, MT_ERR_VALUE, -1, 0, 0);
    }
    *checkpoint = (mt_checkpoint_t) {
        .image = head + offsetof(header_t, image), .description = h.description, .state = h.state,
        .steps = h.steps, .epochs = h.epochs, .seed = h.seed, .lr = h.lr,
    };
    return MT_OK;
}
