// HMAC-SHA-256 (RFC 2104) of an image's header, which holds the SHA-256 of all the rest, and of what the signature says of itself.
#include "signature.h"

#include <string.h>

#include "error.h"
#include "sha256.h"

#define BLOCK 64 // of SHA-256
#define SIGNED 48 // bytes of the header: those before the ones that its SHA-256 is of

typedef struct { // as stored
    uint8_t magic[4];
    uint16_t version, algorithm;
    uint8_t key_id[8];
    uint8_t mac[32];
} signature_t;

static void hmac(const uint8_t key[MT_KEY_BYTES], const uint8_t *header, const uint8_t *signature, uint8_t mac[32]) {
    uint8_t inner[BLOCK + SIGNED + offsetof(signature_t, mac)], outer[BLOCK + 32];
    for (size_t i = 0; i < BLOCK; i++) {
        uint8_t k = i < MT_KEY_BYTES ? key[i] : 0;
        inner[i] = k ^ 0x36;
        outer[i] = k ^ 0x5C;
    }
    memcpy(inner + BLOCK, header, SIGNED);
    memcpy(inner + BLOCK + SIGNED, signature, offsetof(signature_t, mac));
    mt_sha256(inner, sizeof(inner), outer + BLOCK);
    mt_sha256(outer, sizeof(outer), mac);
}

int mt_signature_check(const mt_model_t *model, size_t length, const uint8_t key[MT_KEY_BYTES], mt_error_t *error) {
    const uint8_t *at = model->base + model->length;
    signature_t s;
    if (length - model->length < sizeof(s) || memcmp(at, "MTSG", 4)) {
        return mt_fail(error, MT_ERR_UNSIGNED, -1, 0, 0);
    }
    memcpy(&s, at, sizeof(s)); // at any address
    uint8_t mac[32], wrong = s.version != 1 || s.algorithm != 1;
    hmac(key, model->base, at, mac);
    for (size_t i = 0; i < sizeof(mac); i++) { // as long for any guess
        wrong |= mac[i] ^ s.mac[i];
    }
    return wrong ? mt_fail(error, MT_ERR_SIGNATURE, -1, 0, 0) : MT_OK;
}
