// What the objects of `_microtrain` share.
#ifndef MODMICROTRAIN_H
#define MODMICROTRAIN_H

#include "microtrain.h"
#include "py/obj.h"

#ifndef MP_NORETURN // its name up to MicroPython 1.25
#define MP_NORETURN NORETURN
#endif

// Of _microtrain towards Python and the host: raise it when a name, an argument or the meaning of either changes.
#define MICROTRAIN_ABI 1

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

// Plans into `regions`, or where there are none in one piece. `work` is of mt_plan_work_size() bytes; what the plan needs of it is kept.
int microtrain_replan(plan_obj_t *self, const mt_region_t *regions, size_t count, void *work, mt_error_t *error);
// Raises the exception that fits, with the operator's name, the numbers, and what to do. `model` may be NULL.
MP_NORETURN void microtrain_raise(const mt_model_t *model, const mt_error_t *error);
// `o` as a type of this module, or TypeError.
void *microtrain_as(mp_obj_t o, const mp_obj_type_t *type);

#endif // MODMICROTRAIN_H
