// Words of planes (../plane.h) for multiplications of halves: each half is a pixel.
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

#endif // MT_ARMV7EM_PLANE_H
