// _microtrain: the engine as MicroPython objects. Thin: it converts objects and errors; the package `microtrain` is for people.
#include "modmicrotrain.h"

#include "checkpoint.h"

#include "py/runtime.h"

MP_NORETURN void microtrain_raise(const mt_model_t *model, const mt_error_t *e) {
    const char *op = model && model->base && e->op >= 0 && e->op < model->op_count ? mt_op_name(model, (uint32_t)e->op) : "image";
    unsigned need = e->need, have = e->have;
    switch (e->code) {
        case MT_ERR_MAGIC:
            mp_raise_ValueError(MP_ERROR_TEXT("not a model image: it does not start with MTMI"));
        case MT_ERR_VERSION:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("image format %u, this firmware reads %u: import the model again"), have, need);
        case MT_ERR_LENGTH:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("image truncated: %u B needed, %u B given; upload it again"), need, have);
        case MT_ERR_HASH:
            mp_raise_ValueError(MP_ERROR_TEXT("image damaged: SHA-256 does not match; upload it again"));
        case MT_ERR_UNSIGNED:
            mp_raise_ValueError(MP_ERROR_TEXT("image not signed: this board takes only images signed with its key: microtrain sign"));
        case MT_ERR_SIGNATURE:
            mp_raise_ValueError(MP_ERROR_TEXT("image's signature is not of this board's key, or not of this image: microtrain sign"));
        case MT_ERR_ALIGN:
            mp_raise_ValueError(MP_ERROR_TEXT("image not at a multiple of 4: put it into ROMFS with `microtrain push`, or copy it into a bytearray"));
        case MT_ERR_UNSUPPORTED:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s: operator kind %u is unknown to this firmware"), op, have);
        case MT_ERR_LEFT_OUT:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s: operator %q was left out of this build: use one that has it"), op,
                microtrain_kind_name(have));
        case MT_ERR_SCHEME:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s: the scheme does not fit this operator (%u asked, %u possible)"), op, have, need);
        case MT_ERR_MEMORY:
            mp_raise_msg_varg(&mp_type_MemoryError, MP_ERROR_TEXT("arena too small: %s needs %u B, %u B given (short %u B); try scheme=\"bias\" or \"last\""),
                op, need, have, need - have);
        case MT_ERR_LABEL:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("label %u out of range: the network has %u classes"), have, need);
        case MT_ERR_LIMIT:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s: %u terms in one sum, at most %u fit 32 bits"), op, need, have);
        case MT_ERR_NO_LOSS:
            mp_raise_ValueError(MP_ERROR_TEXT("the session was planned for another loss"));
        case MT_ERR_HEAD:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s: a new head needs a network that ends in a linear operator without activation"), op);
        case MT_ERR_VALUE:
            mp_raise_ValueError(MP_ERROR_TEXT("value not finite or out of range"));
        default:
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("image damaged: %s, field at %u holds %u"), op, need, have);
    }
}

void *microtrain_as(mp_obj_t o, const mp_obj_type_t *type) {
    if (!mp_obj_is_type(o, type)) {
        mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("%q needed, not %q"), (qstr)type->name, (qstr)mp_obj_get_type(o)->name);
    }
    return MP_OBJ_TO_PTR(o);
}

MICROTRAIN_DICT(microtrain_globals,
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__microtrain)},
    {MP_ROM_QSTR(MP_QSTR_Model), MP_ROM_PTR(&microtrain_model_type)},
    {MP_ROM_QSTR(MP_QSTR_Plan), MP_ROM_PTR(&microtrain_plan_type)},
    {MP_ROM_QSTR(MP_QSTR_Session), MP_ROM_PTR(&microtrain_session_type)},
    {MP_ROM_QSTR(MP_QSTR_checkpoint), MP_ROM_PTR(&microtrain_checkpoint_obj)},
    {MP_ROM_QSTR(MP_QSTR_CHECKPOINT_HEAD), MP_ROM_INT(MT_CHECKPOINT_HEAD)},
    {MP_ROM_QSTR(MP_QSTR_Link), MP_ROM_PTR(&microtrain_link_type)},
    {MP_ROM_QSTR(MP_QSTR_SHA256), MP_ROM_PTR(&microtrain_sha256_type)},
    {MP_ROM_QSTR(MP_QSTR_ABI), MP_ROM_INT(MICROTRAIN_ABI)},
    {MP_ROM_QSTR(MP_QSTR_FORMAT), MP_ROM_INT(MT_VERSION_MAJOR)},
    {MP_ROM_QSTR(MP_QSTR_CROSS_ENTROPY), MP_ROM_INT(MT_LOSS_CROSS_ENTROPY)},
    {MP_ROM_QSTR(MP_QSTR_MSE), MP_ROM_INT(MT_LOSS_MSE)});

#ifndef MICROPY_ENABLE_DYNRUNTIME // a native module is made by natmod/mpy_init.c
const mp_obj_module_t microtrain_module = {
    .base = {&mp_type_module},
    .globals = MICROTRAIN_DICT_ADDRESS(microtrain_globals),
};

MP_REGISTER_MODULE(MP_QSTR__microtrain, microtrain_module);
#endif
