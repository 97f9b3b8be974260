// What bind/ needs of MicroPython and a firmware does not hand to native modules.
#include "runtime.h"

mp_obj_dict_t *natmod_dict(size_t n, const mp_rom_map_elem_t *table) {
    mp_obj_t dict = mp_obj_new_dict(n);
    for (size_t i = 0; i < n; i++) {
        mp_obj_dict_store(dict, (mp_obj_t)table[i].key, (mp_obj_t)table[i].value);
    }
    return MP_OBJ_TO_PTR(dict);
}

void *natmod_malloc0(size_t n) {
    void *p = m_malloc(n);
    mp_fun_table.memset_(p, 0, n);
    return p;
}

// ---- messages ----

typedef struct {
    size_t len;
    char text[320]; // longer ones are cut
} message_t;

static void message_append(void *context, const char *text, size_t len) {
    message_t *message = context;
    for (size_t i = 0; i < len && message->len < sizeof(message->text); i++) {
        message->text[message->len++] = text[i];
    }
}

MP_NORETURN void natmod_raise(const mp_obj_type_t *type, const char *format, ...) {
    message_t message;
    message.len = 0;
    mp_print_t print = {&message, message_append};
    va_list args;
    va_start(args, format);
    mp_vprintf(&print, format, args);
    va_end(args);
    mp_raise_type_arg(type, mp_obj_new_str(message.text, message.len));
}

// ---- objects ----

size_t natmod_get_index(size_t len, mp_obj_t index) {
    mp_int_t i = mp_obj_get_int(index);
    if (i < 0) {
        i += len;
    }
    if (i < 0 || (mp_uint_t)i >= len) {
        mp_raise_msg(&mp_type_IndexError, MP_ERROR_TEXT("index out of range"));
    }
    return i;
}

void natmod_get_array_fixed_n(mp_obj_t o, size_t len, mp_obj_t **items) {
    size_t n;
    mp_obj_get_array(o, &n, items);
    if (n != len) {
        natmod_raise(&mp_type_ValueError, MP_ERROR_TEXT("requested length %d but object has length %d"), (int)len, (int)n);
    }
}

mp_obj_t natmod_new_float(const float *value) {
    return mp_binary_get_val_array('f', (void *)value, 0);
}

float natmod_get_float(mp_obj_t o) {
    float value;
    mp_binary_set_val_array('f', &value, 0, o);
    return value;
}

mp_obj_t natmod_new_int_from_ull(unsigned long long value) {
    return mp_binary_get_val_array('Q', &value, 0);
}

mp_obj_t natmod_new_memoryview(byte typecode, size_t n, void *items) {
    mp_obj_array_t *o = mp_obj_malloc(mp_obj_array_t, MP_OBJ_TO_PTR(mp_load_global(MP_QSTR_memoryview)));
    o->typecode = typecode;
    o->free = 0;
    o->len = n;
    o->items = items;
    return MP_OBJ_FROM_PTR(o);
}
