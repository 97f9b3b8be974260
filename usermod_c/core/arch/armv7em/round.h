// ../round.h, four sums at a time.
#ifndef MT_ARMV7EM_ROUND_H
#define MT_ARMV7EM_ROUND_H

// Of `rows` rows of four sums; bytes from sum to sum of a row, from row to row of sums and of outputs.
uint32_t mt_round_rows(const int32_t *sums, int32_t column_step, int32_t rows, int32_t shift, int8_t *out, int32_t row_step, int32_t pitch);

static inline uint32_t mt_round_bytes(const int32_t *acc, int32_t n, int32_t shift, int8_t *out) {
    return mt_round_rows(acc, 4, n / 4, shift, out, 16, 4);
}

#endif // MT_ARMV7EM_ROUND_H
