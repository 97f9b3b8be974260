// Fuzzes the decoder of the serial link's frames (usermod_c/link/frame.c): any bytes, in pieces of any size; and what is encoded comes back.
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "frame.h"

#define CAPACITY 256 // bytes of a payload, at most

static void decode(const uint8_t *data, size_t size, uint8_t piece) {
    uint8_t *buf = malloc(CAPACITY + MT_FRAME_AROUND);
    mt_frame_decoder_t d;
    mt_frame_decoder_init(&d, buf, CAPACITY + MT_FRAME_AROUND);
    for (size_t at = 0, n; at < size; at += n) {
        size_t length = size - at < (size_t)piece + 8 ? size - at : (size_t)piece + 8;
        uint8_t *part = malloc(length); // its end is where the sanitizer looks
        memcpy(part, data + at, length);
        mt_frame_t frame;
        bool complete;
        n = mt_frame_decode(&d, part, length, &frame, &complete);
        free(part);
        if (n == 0 || n > length || (complete && (frame.length > CAPACITY || frame.payload < buf || frame.payload + frame.length > buf + CAPACITY + MT_FRAME_AROUND))) {
            abort();
        }
    }
    free(buf);
}

// The bytes as a frame, with its CRC-32 right: it is decoded whole, whatever came before.
static void round_trip(const uint8_t *data, size_t size) {
    static const uint8_t begun[] = {9, 1, 2};
    mt_frame_t sent = {data[0], data[1], (uint16_t)(data[2] | data[3] << 8), (uint16_t)(data[4] | data[5] << 8), (uint16_t)(size - 6), data + 6};
    uint8_t *line = malloc(MT_FRAME_ENCODED(size - 6));
    size_t length = mt_frame_encode(line, &sent);
    uint8_t buf[CAPACITY + MT_FRAME_AROUND];
    mt_frame_decoder_t d;
    mt_frame_t got;
    bool complete;
    mt_frame_decoder_init(&d, buf, sizeof(buf));
    mt_frame_decode(&d, begun, sizeof(begun), &got, &complete);
    size_t at = mt_frame_decode(&d, line, length, &got, &complete);
    for (; at < length && !complete;) {
        at += mt_frame_decode(&d, line + at, length - at, &got, &complete);
    }
    if (length > MT_FRAME_ENCODED(size - 6) || !complete || got.kind != sent.kind || got.channel != sent.channel || got.sequence != sent.sequence
        || got.transmission != sent.transmission || got.length != sent.length || memcmp(got.payload, sent.payload, sent.length)) {
        abort();
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    decode(data + 1, size - 1, data[0]);
    if (size >= 6 && size - 6 <= CAPACITY) {
        round_trip(data, size);
    }
    return 0;
}
