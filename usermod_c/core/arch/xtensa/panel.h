// Panels (../panel.h) for MAC16, which multiplies values of 16 bits that lie one behind the other: four rows of k values.
#ifndef MT_XTENSA_PANEL_H
#define MT_XTENSA_PANEL_H

#include "kernels.h"

static inline void mt_panel_pack(const int8_t *const x[4], int32_t k, int32_t *panel) {
    for (int32_t j = 0; j < 4; j++) {
        mt_widen(x[j], k, (int16_t *)(void *)panel + j * k);
    }
}

void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out);

#endif // MT_XTENSA_PANEL_H
