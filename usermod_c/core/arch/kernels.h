// The inner loops of every operator. A folder beside this file holds them for one instruction set; all give the same bytes.
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#if defined(__ARM_FEATURE_DSP)
#include "armv7em/kernels.h"
#endif
#include "rv32/kernels.h"
#include "generic/kernels.h"
#include "dense.h"
#include "dot.h"
#include "panel.h"
#include "round.h"
#include "rows.h"

#endif // MT_KERNELS_H
