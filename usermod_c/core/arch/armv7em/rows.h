// Columns of ../rows.h with multiplications of halves.
#ifndef MT_ARMV7EM_ROWS_H
#define MT_ARMV7EM_ROWS_H

#include "dsp.h"

// Columns of `words` packed words: four or eight.
static inline void mt_add_packed_columns(int32_t *acc, const int32_t *rows, const mt_term_t *terms, int32_t count, const int32_t words) {
    int32_t s[8] = {0};
    for (const mt_term_t *end = terms + count; terms < end; terms++) {
        const uint32_t *x = (const uint32_t *)rows + terms->offset / 4, f = (uint32_t)terms->factor;
        for (int32_t i = 0; i < words; i++) {
            int32_t at = i / 2 * 4 + i % 2;
            uint32_t word = x[i];
            s[at] = mt_smlabb(word, f, s[at]);
            s[at + 2] = mt_smlatb(word, f, s[at + 2]);
        }
    }
    for (int32_t i = 0; i < 2 * words; i++) {
        acc[i] += s[i];
    }
}

#endif // MT_ARMV7EM_ROWS_H
