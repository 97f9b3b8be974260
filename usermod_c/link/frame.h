// Frames of the serial link (host/README.md): COBS, a header, CRC-32. No MicroPython, no malloc; any bytes may come.
#ifndef MT_FRAME_H
#define MT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mt_frame_kind { // of a frame; none of them occurs in UTF-8
    MT_FRAME_DATA = 0xF8, MT_FRAME_ACK, MT_FRAME_HELLO, MT_FRAME_WELCOME, MT_FRAME_BYE,
};

// Bytes around the payload before COBS: header and CRC-32.
#define MT_FRAME_HEADER (8)
#define MT_FRAME_AROUND (MT_FRAME_HEADER + 4)
#define MT_FRAME_PAYLOAD_MAX (16384)
// Bytes on the line of a frame with `payload` bytes, at most, with both delimiters.
#define MT_FRAME_ENCODED(payload) ((payload) + MT_FRAME_AROUND + ((payload) + MT_FRAME_AROUND) / 254 + 3)

typedef struct {
    uint8_t kind, channel;
    uint16_t sequence, transmission, length;
    const uint8_t *payload;
} mt_frame_t;

// Writes the frame with its delimiters to `out`, which has MT_FRAME_ENCODED(frame->length) bytes. Returns how many they are.
size_t mt_frame_encode(uint8_t *out, const mt_frame_t *frame);

typedef struct {
    uint8_t *buf; // header, payload and CRC of the frame that comes in
    uint32_t capacity, fill;
    uint8_t run; // bytes that follow before the next code
    bool zero, broken; // a zero stands before the next code's bytes; this frame is none
    uint32_t damaged; // frames dropped
} mt_frame_decoder_t;

// `buf` of `capacity` bytes, the largest payload and MT_FRAME_AROUND, holds one frame at a time.
void mt_frame_decoder_init(mt_frame_decoder_t *d, uint8_t *buf, size_t capacity);

// Takes bytes from the line, up to the end of the first frame. Returns how many it took; `*complete` says whether `*frame` is one, whose
// payload is valid until the next call. Text between frames, and what is damaged, is passed over.
size_t mt_frame_decode(mt_frame_decoder_t *d, const uint8_t *data, size_t n, mt_frame_t *frame, bool *complete);

#endif // MT_FRAME_H
