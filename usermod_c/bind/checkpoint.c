#include "checkpoint.h"

#include "modmicrotrain.h"
#include "py/runtime.h"

// checkpoint(head, length) -> (0, description bytes, state bytes, the image's SHA-256, steps, epochs, seed, lr) from the first CHECKPOINT_HEAD
// bytes of a file of `length` bytes; or (error code, need, have).
static mp_obj_t checkpoint(mp_obj_t head_in, mp_obj_t length_in) {
    mp_buffer_info_t head;
    mp_get_buffer_raise(head_in, &head, MP_BUFFER_READ);
    mt_checkpoint_t c;
    mt_error_t error;
    int code = mt_checkpoint_open(&c, head.buf, head.len, (uint32_t)mp_obj_get_int_truncated(length_in), &error);
    if (code) {
        mp_obj_t items[] = {MP_OBJ_NEW_SMALL_INT(code), mp_obj_new_int_from_uint(error.need), mp_obj_new_int_from_uint(error.have)};
        return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
    }
    mp_obj_t items[] = {
        MP_OBJ_NEW_SMALL_INT(0), mp_obj_new_int_from_uint(c.description), mp_obj_new_int_from_uint(c.state), mp_obj_new_bytes(c.image, 32),
        mp_obj_new_int_from_uint(c.steps), mp_obj_new_int_from_uint(c.epochs), mp_obj_new_int_from_uint(c.seed), mp_obj_new_float(c.lr),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
MP_DEFINE_CONST_FUN_OBJ_2(microtrain_checkpoint_obj, checkpoint);
