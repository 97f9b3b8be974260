// _microtrain.SHA256: the engine's, which every board has and which is faster than hashlib's.
#include "../core/sha256.h"
#include "modmicrotrain.h"

#include "py/runtime.h"

typedef struct {
    mp_obj_base_t base;
    mt_sha256_t state;
} sha256_obj_t;

// SHA256()
static mp_obj_t sha256_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    sha256_obj_t *self = mp_obj_malloc(sha256_obj_t, type);
    mt_sha256_init(&self->state);
    return MP_OBJ_FROM_PTR(self);
}

// sha256.update(buffer)
static mp_obj_t sha256_update(mp_obj_t self_in, mp_obj_t data_in) {
    sha256_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t data;
    mp_get_buffer_raise(data_in, &data, MP_BUFFER_READ);
    mt_sha256_update(&self->state, data.buf, data.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(sha256_update_obj, sha256_update);

// sha256.digest() -> 32 bytes, of what was given so far; more may be given after it
static mp_obj_t sha256_digest(mp_obj_t self_in) {
    const sha256_obj_t *self = MP_OBJ_TO_PTR(self_in);
    uint8_t digest[32];
    mt_sha256_digest(&self->state, digest);
    return mp_obj_new_bytes(digest, sizeof(digest));
}
static MP_DEFINE_CONST_FUN_OBJ_1(sha256_digest_obj, sha256_digest);

MICROTRAIN_DICT(sha256_locals,
    {MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&sha256_update_obj)}, {MP_ROM_QSTR(MP_QSTR_digest), MP_ROM_PTR(&sha256_digest_obj)});

MP_DEFINE_CONST_OBJ_TYPE(microtrain_sha256_type, MP_QSTR_SHA256, MP_TYPE_FLAG_NONE, make_new, sha256_make_new,
    locals_dict, MICROTRAIN_DICT_ADDRESS(sha256_locals));
