// Panels (../panel.h) for the DSP extension, which multiplies two pairs of 16-bit values and adds both products: a word holds values 0 and 2, or
// 1 and 3, of one pixel, the order in which bytes become 16-bit lanes.
#ifndef MT_ARMV7EM_PANEL_H
#define MT_ARMV7EM_PANEL_H

#include "dsp.h"

// For every four values: the even ones of the four pixels, their odd ones.
static inline void mt_panel_pack(const int8_t *const x[4], int32_t k, int32_t *panel) {
    for (int32_t i = 0; i < k; i += 4, panel += 8) {
        for (int32_t j = 0; j < 4; j++) {
            uint32_t word = mt_load4(x[j] + i);
            panel[j] = (int32_t)mt_even_bytes(word);
            panel[j + 4] = (int32_t)mt_odd_bytes(word);
        }
    }
}

// Two rows of weights, two values of each in turn, times panels of k values, a multiple of four; `skip` bytes from one's end to the next.
// out[row][panel][pixel], rows `pitch` bytes apart, added to what is there unless they are the first products.
void mt_panel_block(const uint32_t *weights, const int32_t *panels, int32_t k, int32_t *out, int32_t count, int32_t skip, int32_t first, int32_t pitch);
void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out);

#endif // MT_ARMV7EM_PANEL_H
