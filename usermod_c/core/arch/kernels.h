// The inner loops of every operator. A folder beside this file holds them for one instruction set; all give the same bytes.
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include "generic/kernels.h"
#include "panel.h"
#include "round.h"
#include "rows.h"

#endif // MT_KERNELS_H
