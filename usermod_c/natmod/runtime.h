// MicroPython's API as bind/ uses it, for a native module: included before every file of bind/. py/dynruntime.h maps what a firmware hands to
// native modules; here is the rest. Names (MP_QSTR_...) are numbered when the module is loaded, so what is constant in firmware is made by mpy_init.
#ifndef MICROTRAIN_NATMOD_RUNTIME_H
#define MICROTRAIN_NATMOD_RUNTIME_H

#include "py/objarray.h"
#include "py/runtime.h"

#include "py/dynruntime.h"

// ---- types and dicts ----

#undef MP_ROM_QSTR
#define MP_ROM_QSTR(q) MP_OBJ_NEW_QSTR(q)

#define MICROTRAIN_DICT(name, ...) \
    mp_obj_dict_t *name##_dict(void); \
    mp_obj_dict_t *name##_dict(void) { \
        const mp_rom_map_elem_t table[] = {__VA_ARGS__}; \
        return natmod_dict(MP_ARRAY_SIZE(table), table); \
    } \
    typedef int name##_defined
#define MICROTRAIN_DICT_ADDRESS(name) name##_dict()

mp_obj_dict_t *natmod_dict(size_t n, const mp_rom_map_elem_t *table);

// A type is a variable that its own function fills. It has the name that the rest of bind/ knows as a constant.
#define NATMOD_TYPE(id, id_name, slots) \
    extern mp_obj_full_type_t id##_variable; \
    mp_obj_full_type_t id##_variable __asm__(#id); \
    void id##_init(void); \
    void id##_init(void) { \
        mp_obj_full_type_t *t = &id##_variable; \
        t->base.type = &mp_type_type; \
        t->name = id_name; \
        slots \
    } \
    typedef int id##_defined
#define NATMOD_SLOT(slot, value, i) MP_OBJ_TYPE_SET_SLOT(t, slot, value, i);

#undef MP_DEFINE_CONST_OBJ_TYPE_NARGS_2
#undef MP_DEFINE_CONST_OBJ_TYPE_NARGS_3
#undef MP_DEFINE_CONST_OBJ_TYPE_NARGS_4
#define MP_DEFINE_CONST_OBJ_TYPE_NARGS_2(struct_, id, id_name, flags, f1, v1, f2, v2) \
    NATMOD_TYPE(id, id_name, NATMOD_SLOT(f1, v1, 0) NATMOD_SLOT(f2, v2, 1))
#define MP_DEFINE_CONST_OBJ_TYPE_NARGS_3(struct_, id, id_name, flags, f1, v1, f2, v2, f3, v3) \
    NATMOD_TYPE(id, id_name, NATMOD_SLOT(f1, v1, 0) NATMOD_SLOT(f2, v2, 1) NATMOD_SLOT(f3, v3, 2))
#define MP_DEFINE_CONST_OBJ_TYPE_NARGS_4(struct_, id, id_name, flags, f1, v1, f2, v2, f3, v3, f4, v4) \
    NATMOD_TYPE(id, id_name, NATMOD_SLOT(f1, v1, 0) NATMOD_SLOT(f2, v2, 1) NATMOD_SLOT(f3, v3, 2) NATMOD_SLOT(f4, v4, 3))

#define mp_type_MemoryError (*(mp_obj_type_t *)(mp_load_global(MP_QSTR_MemoryError)))

#include "modmicrotrain.h"

// ---- functions ----

void *natmod_malloc0(size_t n);
#define m_malloc0(n) natmod_malloc0(n)
#define m_malloc_maybe(n) m_realloc_maybe(NULL, (n), false)

MP_NORETURN void natmod_raise(const mp_obj_type_t *type, const char *format, ...);
#define mp_raise_msg_varg(type, ...) natmod_raise(type, __VA_ARGS__)

size_t natmod_get_index(size_t len, mp_obj_t index);
#define mp_get_index(type, len, index, is_slice) natmod_get_index(len, index)

void natmod_get_array_fixed_n(mp_obj_t o, size_t len, mp_obj_t **items);
#define mp_obj_get_array_fixed_n(o, len, items) natmod_get_array_fixed_n(o, len, items)

// Never in registers: firmware for one instruction set may pass floats in those of the FPU or not, and have floats of 32 or 64 bits.
#undef mp_obj_new_float
#undef mp_obj_get_float
mp_obj_t natmod_new_float(const float *value);
#define mp_obj_new_float(value) natmod_new_float(&(float) {value})
float natmod_get_float(mp_obj_t o);
#define mp_obj_get_float(o) natmod_get_float(o)

mp_obj_t natmod_new_int_from_ull(unsigned long long value);
#define mp_obj_new_int_from_ull(value) natmod_new_int_from_ull(value)

mp_obj_t natmod_new_memoryview(byte typecode, size_t n, void *items);
#define mp_obj_new_memoryview(typecode, n, items) natmod_new_memoryview(typecode, n, items)

#endif // MICROTRAIN_NATMOD_RUNTIME_H
