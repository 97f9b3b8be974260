// Panels of four pixels for processors where one multiplication of 32 bits can make two products: two pixels share a word, x0 + (x2 << 16), and a
// weight times that word is both products at once. As weights keep to [-127, 127], two products fit a lane of 16 bits before it is taken apart.
#ifndef MT_PANEL_H
#define MT_PANEL_H

#include <stdint.h>

#include "rv32/kernels.h"
#include "xtensa/kernels.h"

#ifndef MT_PANELS // whether they pay
#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP) || MT_RV32 || MT_MAC16
#define MT_PANELS 1
#else
#define MT_PANELS 0
#endif
#endif

#if defined(__ARM_FEATURE_DSP)
#include "armv7em/panel.h"
#elif MT_MAC16
#include "xtensa/panel.h"
#else
// Panel of k input values (a multiple of 4) of the pixels x[0..3], 2k words: for every two values (x0, x2), (x0, x2), (x1, x3), (x1, x3).
#if defined(__ARM_ARCH_6M__)
void mt_panel_pack_words(const int8_t *const x[4], int32_t k, int32_t *panel); // word-aligned pixels
#endif
static inline void mt_panel_pack(const int8_t *const x[4], int32_t k, int32_t *panel) {
#if defined(__ARM_ARCH_6M__)
    if (!(((uintptr_t)x[0] | (uintptr_t)x[1] | (uintptr_t)x[2] | (uintptr_t)x[3]) & 3)) {
        mt_panel_pack_words(x, k, panel);
        return;
    }
#endif
    const int8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    for (const int8_t *end = x0 + k; x0 < end; x0 += 2, x1 += 2, x2 += 2, x3 += 2, panel += 4) {
        panel[0] = x0[0] + x2[0] * 65536;
        panel[1] = x0[1] + x2[1] * 65536;
        panel[2] = x1[0] + x3[0] * 65536;
        panel[3] = x1[1] + x3[1] * 65536;
    }
}

// Four rows of weights, which lie one behind the other, word-aligned, times `count` panels: out[row][panel][pixel].
#if defined(__ARM_ARCH_6M__) || MT_RV32
void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out);
#if MT_RV32
enum { // where products go
    MT_PANEL_ADD = -1, // are added to out[row][panel][pixel], rows `pitch` bytes apart
    MT_PANEL_FIRST, // become that
    MT_PANEL_ACROSS, // are added to out[panel][pixel][row], pixels `pitch` bytes apart
};

// Weights of four rows times panels of k values, a multiple of four; `skip` bytes from one's end to the next. Weights lie 128 bytes from row to row,
// or across [k][row].
void mt_panel_block(const int8_t *weights, const int32_t *panels, int32_t k, int32_t *out, int32_t count, int32_t skip, int32_t kind, int32_t pitch);
#endif
#else
static inline void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    for (int32_t row = 0; row < 4; row++, weights += k) {
        for (const int32_t *panel = panels, *end = panels + 2 * k * count; panel < end; panel += 2 * k, out += 4) {
            out[0] = out[1] = out[2] = out[3] = 0;
            for (int32_t i = 0; i < k; i++) {
                for (int32_t j = 0; j < 2; j++) {
                    int32_t word = panel[i / 2 * 4 + i % 2 + 2 * j], low = (int16_t)word;
                    out[j] += weights[i] * low;
                    out[j + 2] += weights[i] * ((word - low) / 65536);
                }
            }
        }
    }
}
#endif
#endif

#endif // MT_PANEL_H
