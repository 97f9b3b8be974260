#include "frame.h"

#include <string.h>

#include "crc32.h"

// ---- writing ----

typedef struct {
    uint8_t *out, *code; // next byte; where the length of the run that is being written goes
} writer_t;

static void end_run(writer_t *w) {
    *w->code = (uint8_t)(w->out - w->code);
    w->code = w->out++;
}

static void put(writer_t *w, const uint8_t *data, size_t n) {
    while (n) {
        size_t room = (size_t)(w->code + 255 - w->out);
        if (room == 0) { // full, and not the last
            end_run(w);
            continue;
        }
        size_t length = n < room ? n : room;
        const uint8_t *zero = memchr(data, 0, length);
        length = zero ? (size_t)(zero - data) : length;
        memcpy(w->out, data, length);
        w->out += length;
        if (zero) {
            end_run(w);
            length++;
        }
        data += length;
        n -= length;
    }
}

size_t mt_frame_encode(uint8_t *out, const mt_frame_t *frame) {
    const uint8_t header[MT_FRAME_HEADER] = {
        frame->kind, frame->channel, frame->sequence & 255, frame->sequence >> 8, frame->transmission & 255, frame->transmission >> 8,
        frame->length & 255, frame->length >> 8,
    };
    uint32_t crc = mt_crc32(mt_crc32(0, header, sizeof(header)), frame->payload, frame->length);
    const uint8_t tail[4] = {crc & 255, crc >> 8 & 255, crc >> 16 & 255, crc >> 24};
    out[0] = 0;
    writer_t w = {out + 2, out + 1};
    put(&w, header, sizeof(header));
    put(&w, frame->payload, frame->length);
    put(&w, tail, sizeof(tail));
    *w.code = (uint8_t)(w.out - w.code);
    *w.out++ = 0;
    return (size_t)(w.out - out);
}

// ---- reading ----

static void begin(mt_frame_decoder_t *d) {
    d->fill = 0;
    d->run = 0;
    d->zero = d->broken = false;
}

void mt_frame_decoder_init(mt_frame_decoder_t *d, uint8_t *buf, size_t capacity) {
    memset(d, 0, sizeof(*d));
    d->buf = buf;
    d->capacity = (uint32_t)capacity;
}

static uint32_t get16(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8;
}

// What has come up to a delimiter: a frame?
static bool whole(mt_frame_decoder_t *d, mt_frame_t *frame) {
    const uint8_t *b = d->buf;
    if (d->broken || d->run || d->fill < MT_FRAME_AROUND) {
        return false;
    }
    uint32_t length = d->fill - MT_FRAME_AROUND;
    const uint8_t *tail = b + MT_FRAME_HEADER + length;
    if (get16(b + 6) != length || mt_crc32(0, b, MT_FRAME_HEADER + length) != (get16(tail) | get16(tail + 2) << 16)) {
        return false;
    }
    *frame = (mt_frame_t) {
        b[0], b[1], (uint16_t)get16(b + 2), (uint16_t)get16(b + 4), (uint16_t)length, b + MT_FRAME_HEADER,
    };
    return true;
}

// Bytes of a run, or one zero.
static void take(mt_frame_decoder_t *d, const uint8_t *data, size_t n) {
    if (n > d->capacity - d->fill) {
        d->broken = true; // too long: passed over up to its end
    }
    if (!d->broken) {
        memcpy(d->buf + d->fill, data, n);
        d->fill += (uint32_t)n;
    }
}

size_t mt_frame_decode(mt_frame_decoder_t *d, const uint8_t *data, size_t n, mt_frame_t *frame, bool *complete) {
    static const uint8_t zero = 0;
    *complete = false;
    size_t at = 0;
    while (at < n) {
        uint8_t byte = data[at];
        if (byte == 0) { // a delimiter, wherever it stands
            at++;
            *complete = whole(d, frame);
            d->damaged += !*complete && (d->fill || d->run || d->broken);
            begin(d);
            if (*complete) {
                return at;
            }
        } else if (d->run == 0) {
            if (d->zero) {
                take(d, &zero, 1);
            }
            d->run = byte - 1;
            d->zero = byte != 255;
            at++;
        } else {
            size_t length = n - at < d->run ? n - at : d->run;
            const uint8_t *end = memchr(data + at, 0, length);
            length = end ? (size_t)(end - (data + at)) : length;
            take(d, data + at, length);
            d->run -= (uint8_t)length;
            at += length;
        }
    }
    return at;
}
