// Which operators this build has: all, less those that the compiler is told to leave out, as in -DMICROTRAIN_OP_MAX_POOL=0. Convolution, linear and
// reshape are always there. An image with an operator that was left out is refused when it is opened.
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
    return !((!MICROTRAIN_OP_DEPTHWISE_CONV2D && kind == MT_DEPTHWISE_CONV2D) || (!MICROTRAIN_OP_ADD && kind == MT_ADD)
             || (!MICROTRAIN_OP_AVERAGE_POOL && kind == MT_AVERAGE_POOL) || (!MICROTRAIN_OP_MAX_POOL && kind == MT_MAX_POOL)
             || (!MICROTRAIN_OP_MEAN && kind == MT_MEAN) || (!MICROTRAIN_OP_PAD && kind == MT_PAD)
             || (!MICROTRAIN_OP_SOFTMAX && kind == MT_SOFTMAX) || (!MICROTRAIN_OP_REQUANTIZE && kind == MT_REQUANTIZE));
}

// The kind of an operator of an open image, for a switch: tells the compiler which cases cannot be, so that it drops their code.
static inline unsigned mt_built_kind(const mt_op_t *op) {
    unsigned kind = op->kind;
    if (!mt_is_built(kind)) {
        __builtin_unreachable();
    }
    return kind;
}

#endif // MT_OPERATORS_H
