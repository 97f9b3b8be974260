// How a sample reaches the engine: from a buffer, or from a stream that stands at it; whole, or row by row where the plan wants it so.
#include "modmicrotrain.h"

#include "cores.h"

#include <string.h>

#include "py/runtime.h"
#include "py/stream.h"

typedef struct { // a sample on its way, for one forward pass
    const mt_session_t *session;
    const int8_t *from; // in memory, or NULL
    mp_obj_t stream;
    const mt_augmentation_t *augmentation; // or NULL
    mt_augment_shape_t shape;
    int32_t y; // row that comes next
} sample_t;

static void read_bytes(sample_t *s, int8_t *to, uint32_t bytes) {
    if (s->from) {
        memmove(to, s->from, bytes);
        s->from += bytes;
        return;
    }
    microtrain_rest_cores(s->session); // what reads may be Python, start a thread, raise an exception
    const mp_stream_p_t *protocol = mp_get_stream_raise(s->stream, MP_STREAM_OP_READ);
    while (bytes) {
        int error;
        mp_uint_t n = protocol->read(s->stream, to, bytes, &error);
        if (n == MP_STREAM_ERROR) {
            mp_raise_OSError(error);
        }
        if (!n) {
            mp_raise_ValueError(MP_ERROR_TEXT("the stream ended within a sample"));
        }
        to += n;
        bytes -= n;
    }
}

static void read_row(void *context, int8_t *row, uint32_t bytes) {
    sample_t *s = context;
    const mt_augmentation_t *a = s->augmentation;
    int32_t y = s->y++, down = a ? a->down : 0;
    for (int32_t skipped = 0; y == 0 && skipped < -down && skipped < s->shape.h; skipped++) {
        read_bytes(s, row, bytes);
    }
    if (y - down >= 0 && y - down < s->shape.h) {
        read_bytes(s, row, bytes);
    }
    if (a) {
        mt_augment_row(a, row, y, &s->shape);
    }
}

mt_augment_shape_t microtrain_sample_shape(const mt_model_t *m) {
    const mt_tensor_t *t = &m->tensors[m->input];
    return (mt_augment_shape_t) {t->h, t->w, (int32_t)t->c, t->zero_point};
}

void microtrain_forward(mt_session_t *session, mp_obj_t x, const mt_augmentation_t *augmentation) {
    const mt_model_t *m = session->model;
    sample_t sample = {session, NULL, x, augmentation, microtrain_sample_shape(m), 0};
    uint32_t size = mt_tensor_size(&m->tensors[m->input]);
    mp_buffer_info_t whole = {0};
    if (x == mp_const_none && session->input_rows) {
        mp_raise_ValueError(MP_ERROR_TEXT("this plan takes samples row by row: a buffer or a stream needed"));
    }
    if (x != mp_const_none && mp_get_buffer(x, &whole, MP_BUFFER_READ)) {
        if (whole.len != size) {
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("sample of %u B: the model takes %ux%ux%u = %u int8"), (unsigned)whole.len,
                (unsigned)sample.shape.h, (unsigned)sample.shape.w, (unsigned)sample.shape.c, (unsigned)size);
        }
        sample.from = whole.buf;
    }
    if (session->input_rows) {
        mt_session_set_source(session, read_row, &sample);
    } else {
        int8_t *input = mt_session_input(session);
        if (x != mp_const_none && sample.from != input) {
            read_bytes(&sample, input, size);
        }
        if (augmentation) {
            mt_augment_sample(augmentation, input, &sample.shape);
        }
    }
    mt_session_forward(session);
    microtrain_rest_cores(session);
    mt_session_set_source(session, NULL, NULL); // `sample` ends here
}
