#include "modmicrotrain.h"

#include <string.h>

#include "py/objstr.h"
#include "py/runtime.h"
#include "signature.h"

// Model(buffer, check=True, key=None): a validated image, read in place. `check` verifies its SHA-256, `key`, 32 bytes, its signature too.
static mp_obj_t model_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 3, false);
    mp_buffer_info_t image, key = {0};
    mp_get_buffer_raise(args[0], &image, MP_BUFFER_READ);
    model_obj_t *self = mp_obj_malloc(model_obj_t, type);
    self->image = args[0];
    memset(&self->model, 0, sizeof(self->model));
    mt_error_t error = {0};
    if (n_args == 3 && args[2] != mp_const_none) {
        mp_get_buffer_raise(args[2], &key, MP_BUFFER_READ);
        if (key.len != MT_KEY_BYTES) {
            mp_raise_ValueError(MP_ERROR_TEXT("a key has 32 bytes"));
        }
    }
    if (mt_model_open(&self->model, image.buf, image.len, key.buf || n_args < 2 || mp_obj_is_true(args[1]), &error)) {
        microtrain_raise(error.code == MT_ERR_CORRUPT ? NULL : &self->model, &error);
    }
    if (key.buf && mt_signature_check(&self->model, image.len, key.buf, &error)) {
        microtrain_raise(NULL, &error);
    }
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t tensor_tuple(const mt_tensor_t *t) {
    mp_obj_t items[] = {
        MP_OBJ_NEW_SMALL_INT(t->h), MP_OBJ_NEW_SMALL_INT(t->w), mp_obj_new_int_from_uint(t->c), mp_obj_new_float((mp_float_t)t->scale),
        MP_OBJ_NEW_SMALL_INT(t->zero_point),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}

qstr microtrain_kind_name(uint32_t kind) {
    const qstr names[] = {
        MP_QSTR_, MP_QSTR_conv2d, MP_QSTR_depthwise_conv2d, MP_QSTR_linear, MP_QSTR_add, MP_QSTR_average_pool, MP_QSTR_max_pool, MP_QSTR_mean,
        MP_QSTR_pad, MP_QSTR_reshape, MP_QSTR_softmax, MP_QSTR_requantize,
    };
    return names[kind];
}

// model.op(i) -> (name, kind, (h, w, c) of the output, input channels, multiply-accumulates, kernel taps)
static mp_obj_t model_op(mp_obj_t self_in, mp_obj_t index_in) {
    const mt_model_t *m = &((model_obj_t *)MP_OBJ_TO_PTR(self_in))->model;
    size_t i = mp_get_index(&microtrain_model_type, m->op_count, index_in, false);
    const mt_op_t *op = &m->ops[i];
    const mt_tensor_t *in = &m->tensors[op->input[0]], *out = &m->tensors[op->output];
    const char *name = mt_op_name(m, i);
    mp_obj_t shape[] = {MP_OBJ_NEW_SMALL_INT(out->h), MP_OBJ_NEW_SMALL_INT(out->w), mp_obj_new_int_from_uint(out->c)};
    mp_obj_t items[] = {
        mp_obj_new_str(name, strlen(name)), MP_OBJ_NEW_QSTR(microtrain_kind_name(op->kind)), mp_obj_new_tuple(3, shape),
        mp_obj_new_int_from_uint(op->kind == MT_LINEAR ? mt_tensor_size(in) : in->c), mp_obj_new_int_from_ull(mt_op_macs(m, i)),
        MP_OBJ_NEW_SMALL_INT(op->kernel_h * op->kernel_w),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_2(model_op_obj, model_op);

// model.input, model.output: (h, w, c, scale, zero_point); model.meta: JSON text; model.sha256: 32 bytes; model.length: bytes
static void model_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    const mt_model_t *m = &((model_obj_t *)MP_OBJ_TO_PTR(self_in))->model;
    if (dest[0] != MP_OBJ_NULL) {
        return;
    }
    if (attr == MP_QSTR_input) {
        dest[0] = tensor_tuple(&m->tensors[m->input]);
    } else if (attr == MP_QSTR_output) {
        dest[0] = tensor_tuple(&m->tensors[m->output]);
    } else if (attr == MP_QSTR_meta) {
        dest[0] = mp_obj_new_str((const char *)m->base + m->meta, m->meta_length);
    } else if (attr == MP_QSTR_sha256) {
        dest[0] = mp_obj_new_bytes(m->base + 16, 32);
    } else if (attr == MP_QSTR_length) {
        dest[0] = mp_obj_new_int_from_uint(m->length);
    } else {
        dest[1] = MP_OBJ_SENTINEL; // a method
    }
}

static mp_obj_t model_unary_op(mp_unary_op_t op, mp_obj_t self_in) {
    const model_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return op == MP_UNARY_OP_LEN ? MP_OBJ_NEW_SMALL_INT(self->model.op_count) : MP_OBJ_NULL;
}

MICROTRAIN_DICT(model_locals, {MP_ROM_QSTR(MP_QSTR_op), MP_ROM_PTR(&model_op_obj)});

MP_DEFINE_CONST_OBJ_TYPE(microtrain_model_type, MP_QSTR_Model, MP_TYPE_FLAG_NONE, make_new, model_make_new, attr, model_attr, unary_op,
    model_unary_op, locals_dict, MICROTRAIN_DICT_ADDRESS(model_locals));
