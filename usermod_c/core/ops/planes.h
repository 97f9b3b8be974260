// Correlation of one channel with a small kernel through planes of packed words (arch/plane.h), in bands of rows.
#ifndef MT_PLANES_H
#define MT_PLANES_H

#include "../arch/plane.h"
#include "../arch/steps.h"
#include "conv2d.h"

#define MT_PLANES_STRIDE 2 // largest

// Windows along one axis. An input gradient is a correlation, too: the outputs' gradients with the kernel turned round; with a stride, every phase of
// an input's place has only every `stride`th tap.
typedef struct {
    int32_t source, target; // pixels read and written
    int32_t positions; // windows of a phase
    int32_t stride; // source pixels from window to window
    int32_t phases; // target pixels from window to window
    int32_t lead, extent; // of all phases' windows: pixels before the source's first, and in all
    struct {
        int32_t taps, first, step; // of the kernel
        int32_t offset; // in the extent
        int32_t targets; // target pixels
    } phase[MT_PLANES_STRIDE];
} mt_axis_t;

typedef struct {
    mt_axis_t rows, columns;
    int32_t half, pitch; // words
    int32_t band; // rows of windows at once
    int32_t taps; // of the kernel
    int32_t source_step, target_step; // bytes from pixel to pixel
    int32_t begin, only_high, both, only_low; // words of a row of the plane that pixels go to
    int32_t *plane, *sums, *weights;
    struct { // of a phase of the rows and one of the columns
        mt_correlate_t correlate;
        int32_t width; // targets in a row
        int32_t at, step, gap; // bytes: the first of them, to the next, from a row's end to the next row
    } window[MT_PLANES_STRIDE][MT_PLANES_STRIDE];
} mt_planes_t;

// Lay out the planes of a window, or of its input gradient. False where a shape is unusual, or a row of windows needs more than planes may take.
bool mt_planes_forward(mt_planes_t *p, const mt_window_t *w);
bool mt_planes_backward(mt_planes_t *p, const mt_window_t *w);
// Bytes of scratch.
uint32_t mt_planes_bytes(const mt_planes_t *p);
// Splits the scratch and fills the plane, of which many words stay as they are. source_step and target_step are set.
void mt_planes_begin(mt_planes_t *p, void *scratch, int32_t pad);
// Makes the plane that of the windows from row `position` on, of one channel, which the plane holds for the rows before if there are any.
void mt_planes_pack(const mt_planes_t *p, const int8_t *source, int32_t position, int32_t pad);
// One channel of a kernel [..][kernel_w][channels] to p->weights, in the order of the phases.
void mt_planes_gather(const mt_planes_t *p, const int8_t *kernel, int32_t kernel_w, int32_t channels);

typedef struct mt_planes_target mt_planes_target_t;
struct mt_planes_target { // where results go
    int8_t *out; // all of it
    void (*slowly)(mt_planes_target_t *t, int32_t sum, int32_t at); // writes one
    bool (*run)(mt_steps_t *s);
    mt_steps_t steps;
};

// All windows of a band, from row `position` on.
void mt_planes_run(mt_planes_t *p, mt_planes_target_t *t, int32_t channel, int32_t position);

#endif // MT_PLANES_H
