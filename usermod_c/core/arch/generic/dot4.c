// mt_dot4 where an instruction set has it for whole words.
#include "../kernels.h"

#ifdef MT_DOT4

void mt_dot4(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]) {
    int32_t fours = n & ~3;
    if (fours) {
        mt_dot4_fours(x, w, fours, acc);
    }
    for (int32_t j = 0; j < 4; j++) {
        for (int32_t i = fours; i < n; i++) {
            acc[j] += x[i] * w[j][i];
        }
    }
}

#endif
