// Rows of weights of which training has changed some.
#ifndef MT_MIX_H
#define MT_MIX_H

#include <stdint.h>

typedef struct {
    int8_t *to; // rows, `pitch` bytes apart
    int32_t pitch;
    const int8_t *trained; // the same, of `count` weights
    int32_t trained_pitch;
    const uint16_t *channels;
    int32_t count, rows;
    int32_t *moved; // [rows], are added to
} mt_mix_t;

// to[row][channels[i]] = trained[row][i]; moved[row] grows by as much as the sum of the row does. rows >= 1.
#if defined(__ARM_ARCH_6M__)
void mt_mix(const mt_mix_t *m);
#else
static inline void mt_mix(const mt_mix_t *m) {
    for (int32_t row = 0; row < m->rows; row++) {
        int8_t *to = m->to + row * m->pitch;
        const int8_t *trained = m->trained + row * m->trained_pitch;
        int32_t moved = 0;
        for (int32_t i = 0; i < m->count; i++) {
            int8_t *weight = to + m->channels[i];
            moved += trained[i] - *weight;
            *weight = trained[i];
        }
        m->moved[row] += moved;
    }
}
#endif

#endif // MT_MIX_H
