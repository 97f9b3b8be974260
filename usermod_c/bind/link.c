// _microtrain.Link: frames (../link/frame.h) from standard input, without waiting, and into buffers.
#include "../link/frame.h"
#include "modmicrotrain.h"

#include <string.h>

#include "py/objarray.h"
#include "py/runtime.h"
#include "py/stream.h"

#if MICROTRAIN_STDIN_RINGBUF
#include "py/ringbuf.h"

extern ringbuf_t stdin_ringbuf; // of the port's mphalport.c
#endif

// Bytes taken from standard input at a time.
#ifndef MICROTRAIN_LINK_RAW
#define MICROTRAIN_LINK_RAW (256)
#endif

typedef struct {
    mp_obj_base_t base;
    mp_obj_t in; // standard input
    mt_frame_decoder_t decoder;
    mt_frame_t frame; // the last one
    uint8_t *buf;
    uint16_t at, end; // of `raw`: bytes not yet looked at
    uint8_t raw[MICROTRAIN_LINK_RAW];
} link_obj_t;

// What has come in so far, at most n bytes; 0: nothing. Boards with a way of their own to take many at once say so: one call a byte is slow.
static size_t read_available(link_obj_t *self, uint8_t *to, size_t n) {
    #ifdef MICROTRAIN_STDIN_READ
    (void)self;
    return MICROTRAIN_STDIN_READ(to, n);
    #else
    int error;
    const mp_stream_p_t *protocol = mp_get_stream_raise(self->in, MP_STREAM_OP_READ | MP_STREAM_OP_IOCTL);
    size_t done = 0;
    while (done < n && protocol->ioctl(self->in, MP_STREAM_POLL, MP_STREAM_POLL_RD, &error) & MP_STREAM_POLL_RD) {
        #if MICROTRAIN_STDIN_RINGBUF
        // The port's poll has filled it from the USB or UART.
        for (int c; done < n && (c = ringbuf_get(&stdin_ringbuf)) >= 0;) {
            to[done++] = (uint8_t)c;
        }
        #else
        mp_uint_t got = protocol->read(self->in, to + done, 1, &error);
        if (got == MP_STREAM_ERROR || got == 0) {
            break;
        }
        done++;
        #endif
    }
    return done;
    #endif
}

// Link(stdin, block): receives frames of up to `block` bytes of payload.
static mp_obj_t link_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 2, 2, false);
    mp_int_t block = mp_obj_get_int(args[1]);
    if (block < 64 || block > MT_FRAME_PAYLOAD_MAX) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("block of %d B: 64 to %d"), (int)block, MT_FRAME_PAYLOAD_MAX);
    }
    link_obj_t *self = mp_obj_malloc(link_obj_t, type);
    self->in = args[0];
    self->buf = m_malloc0(block + MT_FRAME_AROUND);
    self->at = self->end = 0;
    memset(&self->frame, 0, sizeof(self->frame));
    mt_frame_decoder_init(&self->decoder, self->buf, block + MT_FRAME_AROUND);
    return MP_OBJ_FROM_PTR(self);
}

// link.receive() -> kind of the next frame that has come, 0: none is there; channel, sequence, transmission and payload are its own then
static mp_obj_t link_receive(mp_obj_t self_in) {
    link_obj_t *self = MP_OBJ_TO_PTR(self_in);
    for (;;) {
        if (self->at == self->end) {
            self->at = 0;
            self->end = (uint16_t)read_available(self, self->raw, MICROTRAIN_LINK_RAW);
            if (self->end == 0) {
                return MP_OBJ_NEW_SMALL_INT(0);
            }
        }
        bool complete;
        self->at += (uint16_t)mt_frame_decode(&self->decoder, self->raw + self->at, self->end - self->at, &self->frame, &complete);
        if (complete) {
            return MP_OBJ_NEW_SMALL_INT(self->frame.kind);
        }
    }
}
static MP_DEFINE_CONST_FUN_OBJ_1(link_receive_obj, link_receive);

// link.wait(ms) -> whether something has come within that time; where the port cannot be waited for, False at once
static mp_obj_t link_wait(mp_obj_t self_in, mp_obj_t ms) {
    const link_obj_t *self = MP_OBJ_TO_PTR(self_in);
    #ifdef MICROTRAIN_STDIN_WAIT
    return mp_obj_new_bool(self->at < self->end || MICROTRAIN_STDIN_WAIT(mp_obj_get_int(ms)));
    #else
    (void)self;
    (void)ms;
    return mp_const_false;
    #endif
}
static MP_DEFINE_CONST_FUN_OBJ_2(link_wait_obj, link_wait);

// link.encode(out, kind, channel, sequence, transmission, payload) -> bytes of the frame in `out`
static mp_obj_t link_encode(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t out, payload;
    mp_get_buffer_raise(args[1], &out, MP_BUFFER_WRITE);
    mp_get_buffer_raise(args[6], &payload, MP_BUFFER_READ);
    if (payload.len > MT_FRAME_PAYLOAD_MAX || out.len < MT_FRAME_ENCODED(payload.len)) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("frame of %u B of payload into %u B"), (unsigned)payload.len, (unsigned)out.len);
    }
    mt_frame_t frame = {
        (uint8_t)mp_obj_get_int(args[2]), (uint8_t)mp_obj_get_int(args[3]), (uint16_t)mp_obj_get_int(args[4]),
        (uint16_t)mp_obj_get_int(args[5]), (uint16_t)payload.len, payload.buf,
    };
    return MP_OBJ_NEW_SMALL_INT(mt_frame_encode(out.buf, &frame));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(link_encode_obj, 7, 7, link_encode);

// payload: a view that the next receive() overwrites. damaged: frames dropped so far.
static void link_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    const link_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return;
    }
    if (attr == MP_QSTR_channel) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(self->frame.channel);
    } else if (attr == MP_QSTR_sequence) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(self->frame.sequence);
    } else if (attr == MP_QSTR_transmission) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(self->frame.transmission);
    } else if (attr == MP_QSTR_payload) {
        dest[0] = mp_obj_new_memoryview('B' | MP_OBJ_ARRAY_TYPECODE_FLAG_RW, self->frame.length, self->buf);
        ((mp_obj_array_t *)MP_OBJ_TO_PTR(dest[0]))->free = MT_FRAME_HEADER; // memview_offset: the heap knows the buffer by its start
    } else if (attr == MP_QSTR_damaged) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(self->decoder.damaged);
    } else {
        dest[1] = MP_OBJ_SENTINEL; // a method
    }
}

MICROTRAIN_DICT(link_locals,
    {MP_ROM_QSTR(MP_QSTR_receive), MP_ROM_PTR(&link_receive_obj)}, {MP_ROM_QSTR(MP_QSTR_wait), MP_ROM_PTR(&link_wait_obj)},
    {MP_ROM_QSTR(MP_QSTR_encode), MP_ROM_PTR(&link_encode_obj)});

MP_DEFINE_CONST_OBJ_TYPE(microtrain_link_type, MP_QSTR_Link, MP_TYPE_FLAG_NONE, make_new, link_make_new, attr, link_attr,
    locals_dict, MICROTRAIN_DICT_ADDRESS(link_locals));
