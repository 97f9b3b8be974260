#include "fixed.h"

int32_t mt_shift_up(int32_t acc, int shift) {
    return mt_clamp64(acc * ((int64_t)1 << shift), INT32_MIN, INT32_MAX);
}

int32_t mt_requantize_once_wide(int32_t acc, int32_t mult, int shift) {
    int64_t product = (int64_t)acc * mult;
    int64_t magnitude = mt_round_shift(product < 0 ? -product : product, 31 - shift);
    return mt_clamp64(product < 0 ? -magnitude : magnitude, INT32_MIN, INT32_MAX);
}
