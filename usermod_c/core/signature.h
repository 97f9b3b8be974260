// The signature behind a model image (format, and what it promises: usermod_c/README.md).
#ifndef MT_SIGNATURE_H
#define MT_SIGNATURE_H

#include "microtrain.h"

#define MT_KEY_BYTES 32
#define MT_SIGNATURE_BYTES 48

// Whether the `length` bytes at model->base, whose SHA-256 mt_model_open has checked, end in a signature with `key`. MT_ERR_UNSIGNED,
// MT_ERR_SIGNATURE (another key, or altered).
int mt_signature_check(const mt_model_t *model, size_t length, const uint8_t key[MT_KEY_BYTES], mt_error_t *error);

#endif // MT_SIGNATURE_H
