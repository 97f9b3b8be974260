// Runs when the native module is imported: makes the types and the module's names.
#include "runtime.h"

void microtrain_model_type_init(void);
void microtrain_plan_type_init(void);
void microtrain_session_type_init(void);
void microtrain_link_type_init(void);
void microtrain_sha256_type_init(void);
mp_obj_dict_t *microtrain_globals_dict(void);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    microtrain_model_type_init();
    microtrain_plan_type_init();
    microtrain_session_type_init();
    microtrain_link_type_init();
    microtrain_sha256_type_init();
    const mp_map_t *names = &microtrain_globals_dict()->map;
    for (size_t i = 0; i < names->alloc; i++) {
        if (mp_map_slot_is_filled(names, i)) {
            mp_obj_dict_store(MP_OBJ_FROM_PTR(self->context->module.globals), names->table[i].key, names->table[i].value);
        }
    }
    MP_DYNRUNTIME_INIT_EXIT
}
