#include "../quick.h"
#include "../hot.h"

#define FAR (1u << 30)
#define MOST_RIGHT 15 // with more, the multiplier has few bits left

static void set_limits(mt_quick_t *q, int32_t low, int32_t high) {
    q->minus_low = -low;
    q->range = (uint32_t)high - (uint32_t)low;
}

// Where the sums do not matter (a channel whose scale is next to nothing): every output is the same.
static MT_COLD bool is_flat(mt_quick_t *q, const mt_finish_row_t *row, const mt_finish_t *f, int32_t most_sum) {
    int32_t v[2];
    for (int i = 0; i < 2; i++) {
        int32_t acc = row->start + (i ? most_sum : -most_sum), mult = mt_finish_mult(row);
        v[i] = f->once ? mt_requantize_once(acc, mult, -row->shift) : mt_requantize(acc, mult, -row->shift);
    }
    q->multiplier = q->uncertain = 0;
    q->offset = (uint32_t)(v[0] + f->zero) << 24;
    set_limits(q, -most_sum, most_sum); // no sum is beyond them,
    if (v[0] < f->low) { // or all are where the output is clamped
        set_limits(q, most_sum + 1, most_sum + 1);
    } else if (v[0] > f->high) {
        set_limits(q, -most_sum - 1, -most_sum - 1);
    }
    return v[0] == v[1];
}

MT_HOT bool mt_quick_of(mt_quick_t *q, const mt_finish_row_t *row, int32_t count, const mt_finish_t *f, uint32_t most_sum) {
    const uint32_t below = (uint32_t)-f->low, above = (uint32_t)f->high, largest = (below > above ? below : above) + 1;
    for (const mt_finish_row_t *end = row + count; row < end; row++, q++) {
        const int32_t start = row->start, right = row->shift;
        const uint32_t mult = (uint32_t)mt_finish_mult(row), most_start = (uint32_t)mt_abs(start);
        if (right > MOST_RIGHT) {
            if (most_sum < FAR && most_start <= INT32_MAX - most_sum && is_flat(q, row, f, (int32_t)most_sum)) {
                continue;
            }
            return false;
        }
        if (right < 2 || largest > 256 || most_start >= FAR / 2 || most_sum >= FAR || mult < 1u << 30) {
            return false;
        }
        // All in units of 2^-24. Sums that are not clamped are at most largest / multiplier, and 1 / x at most 1.5 - x / 2 from 1 to 2.
        const uint32_t m = (mult + (1u << (6 + right))) >> (7 + right), off = (uint32_t)mt_abs((int32_t)((m << (7 + right)) - mult)) >> (right - 1);
        uint32_t most = (most_start + most_sum) >> 8, limit = largest * (384 - (mult >> 23)) >> (MOST_RIGHT - right);
        most = most < limit ? most : limit;
        const uint32_t error = (most + 1) * (off + 1) + ((1u << 23) >> right) + 2, half = (1u << 23) + error;
        if (error >= 1u << 22) {
            return false;
        }
        const uint32_t low = ((below << 24) + half) / m, high = ((above << 24) + (1u << 24) - 1 - half) / m;
        q->minus_low = (int32_t)low + start;
        q->range = low + high;
        q->offset = half + ((uint32_t)f->zero << 24) - low * m;
        q->uncertain = error << 9;
        q->multiplier = m;
    }
    return true;
}
