// Whether the processor has the Xtensa options MAC16 and loops: the ESP32 and the ESP32-S3 do, which their builds say, and QEMU's board; a native
// module may meet one that does not.
#ifndef MT_XTENSA_KERNELS_H
#define MT_XTENSA_KERNELS_H

#include <stdint.h>

#ifndef MT_MAC16
#define MT_MAC16 0
#endif

#if MT_MAC16
typedef struct { // dot products of rows of n values of 16 bits, word-aligned: out[i][j] = a[i] . b[j]
    const int16_t *a, *b;
    int32_t *out;
    int32_t n; // a multiple of 4
    int32_t a_rows, b_rows;
    int32_t a_step, b_step, out_step; // bytes from one row to the next
} mt_dots_t;

void mt_dots(const mt_dots_t *d);
void mt_dots_add(const mt_dots_t *d); // to what is there

// Bytes to 16 bits, n a multiple of 4.
static inline void mt_widen(const int8_t *x, int32_t n, int16_t *to) {
    if (!((uintptr_t)x & 3)) {
        for (const int32_t *word = (const int32_t *)(const void *)x, *end = word + n / 4; word < end; word++, to += 4) {
            int32_t v = *word;
            to[0] = (int8_t)v;
            to[1] = (int8_t)(v >> 8);
            to[2] = (int8_t)(v >> 16);
            to[3] = (int16_t)(v >> 24);
        }
        return;
    }
    for (const int8_t *end = x + n; x < end;) {
        *to++ = *x++;
    }
}
#endif

#endif // MT_XTENSA_KERNELS_H
