// The beginning of a checkpoint (format: firmware/README.md).
#ifndef MT_CHECKPOINT_H
#define MT_CHECKPOINT_H

#include "microtrain.h"

#define MT_CHECKPOINT_MAJOR 1 // a reader refuses another one
#define MT_CHECKPOINT_MINOR 1
#define MT_CHECKPOINT_HEADER 64 // bytes
#define MT_CHECKPOINT_DIGEST 32 // of the SHA-256 at the end
#define MT_CHECKPOINT_HEAD (MT_CHECKPOINT_HEADER + 29) // and the header's CRC-32, with which a description begins since 1.1

typedef struct {
    const uint8_t *image; // SHA-256 of the image it belongs to, in `head`
    uint32_t description, state; // lengths
    uint32_t steps, epochs, seed;
    float lr;
} mt_checkpoint_t;

// Reads the header from `head`, the first MT_CHECKPOINT_HEAD bytes of a file of `length` bytes, or all of a shorter one. MT_ERR_MAGIC;
// MT_ERR_VERSION (need: our major, have: the file's); MT_ERR_CRC; MT_ERR_LENGTH (need: bytes the header names, have: `length`); MT_ERR_VALUE:
// a learning rate that is none. The SHA-256 at the end is the caller's to check.
int mt_checkpoint_open(mt_checkpoint_t *checkpoint, const uint8_t *head, size_t head_bytes, uint32_t length, mt_error_t *error);

#endif // MT_CHECKPOINT_H
