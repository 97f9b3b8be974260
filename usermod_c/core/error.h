#ifndef MT_ERROR_H
#define MT_ERROR_H

#include "microtrain.h"

// Notes what failed, where the caller wants to know, and returns the code.
static inline int mt_fail(mt_error_t *error, int code, int32_t op, uint32_t need, uint32_t have) {
    if (error) {
        *error = (mt_error_t) {code, op, need, have};
    }
    return code;
}

#endif // MT_ERROR_H
