// Which operators this build has: all, less those that the compiler is told to leave out, as in -DMICROTRAIN_OP_MAX_POOL=0. Convolution, linear and
// reshape are always there. An image with an operator that was left out is refused (MT_ERR_LEFT_OUT) when it is opened.
#ifndef MT_OPERATORS_H
#define MT_OPERATORS_H

#include "microtrain.h"

#ifndef MICROTRAIN_OP_DEPTHWISE_CONV2D
#define MICROTRAIN_OP_DEPTHWISE_CONV2D 1
#endif
#ifndef MICROTRAIN_OP_ADD
#define MICROTRAIN_OP_ADD 1
#endif
#ifndef MICROTRAIN_OP_AVERAGE_POOL
#define MICROTRAIN_OP_AVERAGE_POOL 1
#endif
#ifndef MICROTRAIN_OP_MAX_POOL
#define MICROTRAIN_OP_MAX_POOL 1
#endif
#ifndef MICROTRAIN_OP_MEAN
#define MICROTRAIN_OP_MEAN 1
#endif
#ifndef MICROTRAIN_OP_PAD
#define MICROTRAIN_OP_PAD 1
#endif
#ifndef MICROTRAIN_OP_SOFTMAX
#define MICROTRAIN_OP_SOFTMAX 1
#endif
#ifndef MICROTRAIN_OP_REQUANTIZE
#define MICROTRAIN_OP_REQUANTIZE 1
#endif

static inline bool mt_is_built(unsigned kind) {
    switch (kind) {
        case MT_DEPTHWISE_CONV2D:
            return MICROTRAIN_OP_DEPTHWISE_CONV2D;
        case MT_ADD:
            return MICROTRAIN_OP_ADD;
        case MT_AVERAGE_POOL:
            return MICROTRAIN_OP_AVERAGE_POOL;
        case MT_MAX_POOL:
            return MICROTRAIN_OP_MAX_POOL;
        case MT_MEAN:
            return MICROTRAIN_OP_MEAN;
        case MT_PAD:
            return MICROTRAIN_OP_PAD;
        case MT_SOFTMAX:
            return MICROTRAIN_OP_SOFTMAX;
        case MT_REQUANTIZE:
            return MICROTRAIN_OP_REQUANTIZE;
        default:
            return true;
    }
}

// The case of an operator in a switch over (int)kind. Where it was left out, one that no kind has, so that the compiler drops its code.
#define MT_BUILT(kind) (MICROTRAIN_OP_##kind ? MT_##kind : 256 + MT_##kind)

#endif // MT_OPERATORS_H
