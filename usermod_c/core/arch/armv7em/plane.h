// Planes (../plane.h) for multiplications of pairs: a word holds two columns side by side. An input gradient's or a forward pass's window is
// multiplied two taps at once, a weight gradient's two outputs at once.
#ifndef MT_ARMV7EM_PLANE_H
#define MT_ARMV7EM_PLANE_H

#include "dsp.h"

static inline int32_t mt_plane_word(int32_t low, int32_t high) {
    return (int32_t)mt_low_lanes((uint32_t)low, (uint32_t)high);
}

// Of both halves; n is even.
static inline int32_t mt_plane_sum(const int32_t *words, int32_t n) {
    int32_t sum = 0;
    for (const int32_t *end = words + n; words < end; words += 2) {
        sum = mt_smlad((uint32_t)words[0], 0x00010001, mt_smlad((uint32_t)words[1], 0x00010001, sum));
    }
    return sum;
}

typedef struct { // rows of pixels -> rows of a plane
    const int8_t *from;
    int32_t *to; // column 0
    int32_t step, row_step; // bytes from pixel to pixel, from row to row
    int32_t pitch; // bytes from row to row of the plane
    int32_t rows;
    int32_t lead, columns; // those before the first pixel, and pixels
    int32_t words; // of a row, at least, that are written from the first pixel's on; where there is no pixel, `pad`
    int32_t pad;
} mt_plane_pack_t;

#endif // MT_ARMV7EM_PLANE_H
