// Columns of ../rows.h with multiplications of halves.
#ifndef MT_ARMV7EM_ROWS_H
#define MT_ARMV7EM_ROWS_H

#include "dsp.h"

static inline void mt_add_columns(int32_t *acc, const int8_t *rows, const mt_term_t *terms, int32_t count) {
    int32_t s0 = acc[0], s1 = acc[1], s2 = acc[2], s3 = acc[3], s4 = acc[4], s5 = acc[5], s6 = acc[6], s7 = acc[7];
    for (const mt_term_t *end = terms + count; terms < end; terms++) {
        const int8_t *x = rows + terms->offset;
        const uint32_t f = (uint32_t)terms->factor;
        uint32_t word = mt_load4(x), part = mt_even_bytes(word);
        s0 = mt_smlabb(part, f, s0);
        s2 = mt_smlatb(part, f, s2);
        part = mt_odd_bytes(word);
        s1 = mt_smlabb(part, f, s1);
        s3 = mt_smlatb(part, f, s3);
        word = mt_load4(x + 4);
        part = mt_even_bytes(word);
        s4 = mt_smlabb(part, f, s4);
        s6 = mt_smlatb(part, f, s6);
        part = mt_odd_bytes(word);
        s5 = mt_smlabb(part, f, s5);
        s7 = mt_smlatb(part, f, s7);
    }
    acc[0] = s0;
    acc[1] = s1;
    acc[2] = s2;
    acc[3] = s3;
    acc[4] = s4;
    acc[5] = s5;
    acc[6] = s6;
    acc[7] = s7;
}

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
