// What the objects of `_microtrain` share.
#ifndef MODMICROTRAIN_H
#define MODMICROTRAIN_H

#include "augment.h"
#include "microtrain.h"
#include "py/obj.h"

#ifndef MP_NORETURN // its name up to MicroPython 1.25
#define MP_NORETURN NORETURN
#endif

// Of _microtrain towards Python and the host: raise it when a name, an argument or the meaning of either changes.
#define MICROTRAIN_ABI 5

// A dict of constants and its address. A native module (natmod/runtime.h), whose names are numbered when it is loaded, makes it then.
#ifndef MICROTRAIN_DICT
#define MICROTRAIN_DICT(name, ...) \
    static const mp_rom_map_elem_t name##_table[] = {__VA_ARGS__}; \
    static MP_DEFINE_CONST_DICT(name, name##_table)
#define MICROTRAIN_DICT_ADDRESS(name) (mp_obj_dict_t *)&name
#endif

typedef struct {
    mp_obj_base_t base;
    mt_model_t model;
    mp_obj_t image; // keeps the buffer alive that `model` points into
} model_obj_t;

typedef struct {
    mp_obj_base_t base;
    model_obj_t *model;
    mt_scheme_t scheme;
    mt_plan_t plan; // points into `work`
    void *work;
} plan_obj_t;

extern const mp_obj_type_t microtrain_model_type;
extern const mp_obj_type_t microtrain_plan_type;
extern const mp_obj_type_t microtrain_session_type;
extern const mp_obj_fun_builtin_fixed_t microtrain_checkpoint_obj;
extern const mp_obj_type_t microtrain_link_type;
extern const mp_obj_type_t microtrain_sha256_type;

// Plans into `regions`, or where there are none in one piece. After an error the plan is what it was.
int microtrain_replan(plan_obj_t *self, const mt_region_t *regions, size_t count, mt_error_t *error);
// The block for a session, and, where the arena lies apart from it, the plan made anew for that. `memory` is None, a buffer or a tuple.
mp_buffer_info_t microtrain_memory(plan_obj_t *plan, mp_obj_t memory);
// Shape and zero point of the model's samples.
mt_augment_shape_t microtrain_sample_shape(const mt_model_t *m);
// Forward pass on int8 sample x: a buffer, a stream that stands at it, or None: what the arena holds. `augmentation` changes it; or NULL.
void microtrain_forward(mt_session_t *session, mp_obj_t x, const mt_augmentation_t *augmentation);
// Raises the exception that fits, with the operator's name, the numbers, and what to do. `model` may be NULL.
MP_NORETURN void microtrain_raise(const mt_model_t *model, const mt_error_t *error);
// An operator's name, as in the image's specification; `kind` is one of enum mt_kind.
qstr microtrain_kind_name(uint32_t kind);
// `o` as a type of this module, or TypeError.
void *microtrain_as(mp_obj_t o, const mp_obj_type_t *type);

#endif // MODMICROTRAIN_H
