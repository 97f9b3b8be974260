// Reads a model image in place and refuses anything the operators could not run safely.
#include "microtrain.h"

#include <string.h>

#include "error.h"
#include "operators.h"
#include "sha256.h"

#define HEADER_BYTES 96
#define HASHED_FROM 48
#define MAX_COUNT 4096
#define MAX_ELEMENTS (1u << 24)
#define MAX_IMAGE (1u << 28) // bytes
#define MAX_WINDOW (1u << 28) // bytes of the input rows that one window touches, padding included
#define MAX_BIAS ((int32_t)1 << 30)

typedef struct { // the first 96 bytes
    uint8_t magic[4];
    uint16_t major, minor;
    uint32_t length, flags;
    uint8_t sha256[32];
    uint32_t tensor_count, op_count, tensors, ops, meta, meta_length;
    uint16_t input, output;
    uint8_t reserved[20];
} header_t;


// True where [offset, offset + count * size) lies in the file behind the header and is aligned.
static bool inside(const mt_model_t *m, uint32_t offset, uint64_t count, uint32_t size, uint32_t alignment) {
    return offset >= HEADER_BYTES && offset % alignment == 0 && offset + count * size <= m->length;
}

uint32_t mt_tensor_size(const mt_tensor_t *t) {
    return (uint32_t)t->h * t->w * t->c;
}

const char *mt_op_name(const mt_model_t *model, uint32_t op) {
    return (const char *)model->base + model->ops[op].name;
}

uint64_t mt_op_macs(const mt_model_t *model, uint32_t index) {
    const mt_op_t *op = &model->ops[index];
    const mt_tensor_t *in = &model->tensors[op->input[0]], *out = &model->tensors[op->output];
    uint64_t taps = (uint64_t)op->kernel_h * op->kernel_w;
    switch (op->kind) {
        case MT_CONV2D:
            return taps * in->c * mt_tensor_size(out);
        case MT_DEPTHWISE_CONV2D:
            return taps * mt_tensor_size(out);
        case MT_LINEAR:
            return (uint64_t)mt_tensor_size(in) * out->c;
        default:
            return 0;
    }
}

static bool has_weights(const mt_op_t *op) {
    return op->kind == MT_CONV2D || op->kind == MT_DEPTHWISE_CONV2D || op->kind == MT_LINEAR;
}

static bool same_shape(const mt_tensor_t *a, const mt_tensor_t *b) {
    return a->h == b->h && a->w == b->w && a->c == b->c;
}

static bool valid_requantize(int32_t mult, int32_t shift) {
    return mult >= 0 && shift >= -31 && shift <= 30;
}

// A window of `kernel` at `stride` must touch the input at every one of `out` positions.
static bool valid_window(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad) {
    return kernel > 0 && stride > 0 && pad < kernel && (uint64_t)(out - 1) * stride < (uint64_t)in + pad;
}

// Weights, per-channel tables and the int32 bound of the accumulators.
static int read_parameters(const mt_model_t *m, const mt_op_t *op, int32_t index, mt_error_t *error) {
    const mt_tensor_t *in = &m->tensors[op->input[0]], *out = &m->tensors[op->output];
    uint64_t terms = (uint64_t)op->kernel_h * op->kernel_w;
    if (op->kind == MT_CONV2D) {
        terms *= in->c;
    } else if (op->kind == MT_LINEAR) {
        terms = mt_tensor_size(in); // whatever the kernel says
    }
    if (!inside(m, op->weights, terms * out->c, 1, 16)) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 32, op->weights);
    }
    const uint32_t tables[5] = {op->bias, op->fold, op->mult, op->shift, op->weight_scale};
    for (int i = 0; i < 5; i++) {
        uint32_t size = i == 3 ? 1 : 4;
        if (!inside(m, tables[i], out->c, size, size)) {
            return mt_fail(error, MT_ERR_CORRUPT, index, 36 + 4 * (uint32_t)i, tables[i]);
        }
    }
    // |x| <= 128, |w| <= 128 and the zero point's share: no sum may leave int32
    uint64_t most = (INT32_MAX - (uint64_t)MAX_BIAS) / (128 * 256);
    if (terms > most) {
        return mt_fail(error, MT_ERR_LIMIT, index, (uint32_t)terms, (uint32_t)most);
    }
    const int32_t *bias = (const int32_t *)(m->base + op->bias), *fold = (const int32_t *)(m->base + op->fold);
    const int32_t *mult = (const int32_t *)(m->base + op->mult);
    const int8_t *shift = (const int8_t *)(m->base + op->shift);
    const float *scale = (const float *)(m->base + op->weight_scale);
    for (uint32_t c = 0; c < out->c; c++) {
        int64_t offset = (int64_t)fold[c] - bias[c];
        int64_t limit = (int64_t)terms * 128 * 128;
        if (bias[c] > MAX_BIAS || bias[c] < -MAX_BIAS || offset > limit || offset < -limit) {
            return mt_fail(error, MT_ERR_CORRUPT, index, op->bias + 4 * c, 0);
        }
        if (!valid_requantize(mult[c], shift[c])) {
            return mt_fail(error, MT_ERR_CORRUPT, index, op->mult + 4 * c, 0);
        }
        if (!(scale[c] >= 1e-30f && scale[c] <= 1e30f)) {
            return mt_fail(error, MT_ERR_CORRUPT, index, op->weight_scale + 4 * c, 0);
        }
    }
    return MT_OK;
}

static bool is_made(const uint32_t *made, uint32_t tensor) {
    return made[tensor / 32] >> tensor % 32 & 1;
}

static int read_op(const mt_model_t *m, int32_t index, const uint32_t *made, mt_error_t *error) {
    const mt_op_t *op = &m->ops[index];
    if (op->name < HEADER_BYTES || op->name >= m->length || !memchr(m->base + op->name, 0, m->length - op->name < 64 ? m->length - op->name : 64)) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 28, op->name);
    }
    if (op->kind < MT_CONV2D || op->kind > MT_REQUANTIZE) {
        return mt_fail(error, MT_ERR_UNSUPPORTED, index, MT_REQUANTIZE, op->kind);
    }
    if (!mt_is_built(op->kind)) {
        return mt_fail(error, MT_ERR_LEFT_OUT, index, 0, op->kind);
    }
    uint32_t inputs = op->kind == MT_ADD ? 2 : 1;
    for (uint32_t k = 0; k < 2; k++) {
        uint16_t t = op->input[k];
        if (k < inputs ? t >= m->tensor_count || !is_made(made, t) : t != MT_NO_TENSOR) {
            return mt_fail(error, MT_ERR_CORRUPT, index, 4 + 2 * k, t);
        }
    }
    if (op->output >= m->tensor_count || is_made(made, op->output)) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 8, op->output);
    }
    const mt_tensor_t *in = &m->tensors[op->input[0]], *out = &m->tensors[op->output];
    uint8_t most = has_weights(op) ? MT_ACT_RANGE : MT_ACT_RELU_N1_TO_1;
    if (op->activation > most || op->act_min > op->act_max || op->rounding > 1) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 1, op->activation);
    }
    bool windowed = op->kind == MT_CONV2D || op->kind == MT_DEPTHWISE_CONV2D || op->kind == MT_AVERAGE_POOL || op->kind == MT_MAX_POOL;
    if (windowed && (!valid_window(in->h, out->h, op->kernel_h, op->stride_h, op->pad_top)
                     || !valid_window(in->w, out->w, op->kernel_w, op->stride_w, op->pad_left))) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 10, 0);
    }
    // products of sizes below stay in 32 bits because these do
    uint64_t rows = (uint64_t)op->kernel_h * ((uint32_t)in->w + 2u * op->kernel_w) * in->c;
    if (windowed && rows > MAX_WINDOW) {
        return mt_fail(error, MT_ERR_LIMIT, index, (uint32_t)(rows >> 10), MAX_WINDOW >> 10);
    }
    bool consistent = true;
    switch (op->kind) {
        case MT_DEPTHWISE_CONV2D:
            consistent = op->channel_multiplier > 0 && (uint64_t)in->c * op->channel_multiplier == out->c;
            break;
        case MT_LINEAR:
            consistent = out->h == 1 && out->w == 1;
            break;
        case MT_ADD:
            consistent = same_shape(in, out) && same_shape(&m->tensors[op->input[1]], out)
                && valid_requantize(op->param[0], op->param[1]) && valid_requantize(op->param[2], op->param[3])
                && valid_requantize(op->param[4], op->param[5]) && op->param[1] <= 0 && op->param[3] <= 0;
            break;
        case MT_AVERAGE_POOL:
        case MT_MAX_POOL:
            consistent = in->c == out->c && (uint32_t)op->kernel_h * op->kernel_w <= 65536;
            break;
        case MT_MEAN:
            consistent = out->h == 1 && out->w == 1 && out->c == in->c && (uint32_t)in->h * in->w <= 65536
                && valid_requantize(op->param[0], op->param[1]);
            break;
        case MT_PAD:
            consistent = in->c == out->c && in->h + op->pad_top + op->pad_bottom == out->h && in->w + op->pad_left + op->pad_right == out->w;
            break;
        case MT_RESHAPE:
            consistent = mt_tensor_size(in) == mt_tensor_size(out);
            break;
        case MT_SOFTMAX:
            consistent = same_shape(in, out) && in->h == 1 && in->w == 1;
            break;
        case MT_REQUANTIZE:
            consistent = same_shape(in, out) && valid_requantize(op->param[0], op->param[1]);
            break;
        default:
            break;
    }
    if (!consistent) {
        return mt_fail(error, MT_ERR_CORRUPT, index, 8, op->output);
    }
    return has_weights(op) ? read_parameters(m, op, index, error) : MT_OK;
}

int mt_model_open(mt_model_t *m, const void *image, size_t length, bool check_hash, mt_error_t *error) {
    const header_t *h = image;
    if ((uintptr_t)image % 4) {
        return mt_fail(error, MT_ERR_ALIGN, -1, 4, (uint32_t)((uintptr_t)image % 4));
    }
    if (length < HEADER_BYTES) {
        return mt_fail(error, MT_ERR_LENGTH, -1, HEADER_BYTES, (uint32_t)length);
    }
    if (memcmp(h->magic, "MTMI", 4)) {
        return mt_fail(error, MT_ERR_MAGIC, -1, 0, 0);
    }
    if (h->major != MT_VERSION_MAJOR) {
        return mt_fail(error, MT_ERR_VERSION, -1, MT_VERSION_MAJOR, h->major);
    }
    if (h->length < HEADER_BYTES || h->length > length || h->length > MAX_IMAGE) {
        return mt_fail(error, MT_ERR_LENGTH, -1, h->length, (uint32_t)length);
    }
    if (check_hash) {
        uint8_t digest[32];
        mt_sha256((const uint8_t *)image + HASHED_FROM, h->length - HASHED_FROM, digest);
        if (memcmp(digest, h->sha256, 32)) {
            return mt_fail(error, MT_ERR_HASH, -1, 0, 0);
        }
    }
    *m = (mt_model_t) {.base = image, .length = h->length, .meta = h->meta, .meta_length = h->meta_length};
    if (h->tensor_count == 0 || h->tensor_count > MAX_COUNT || !inside(m, h->tensors, h->tensor_count, sizeof(mt_tensor_t), 4)) {
        return mt_fail(error, MT_ERR_CORRUPT, -1, 48, h->tensor_count);
    }
    if (h->op_count == 0 || h->op_count > MAX_COUNT || !inside(m, h->ops, h->op_count, sizeof(mt_op_t), 4)) {
        return mt_fail(error, MT_ERR_CORRUPT, -1, 52, h->op_count);
    }
    if (h->meta_length && !inside(m, h->meta, h->meta_length, 1, 1)) {
        return mt_fail(error, MT_ERR_CORRUPT, -1, 64, h->meta);
    }
    m->tensors = (const mt_tensor_t *)(m->base + h->tensors);
    m->ops = (const mt_op_t *)(m->base + h->ops);
    m->tensor_count = (uint16_t)h->tensor_count;
    m->op_count = (uint16_t)h->op_count;
    m->input = h->input;
    m->output = h->output;
    if (h->input >= h->tensor_count) {
        return mt_fail(error, MT_ERR_CORRUPT, -1, 72, h->input);
    }
    for (uint32_t i = 0; i < h->tensor_count; i++) {
        const mt_tensor_t *t = &m->tensors[i];
        uint64_t size = (uint64_t)t->h * t->w * t->c;
        if (t->dtype) {
            return mt_fail(error, MT_ERR_UNSUPPORTED, -1, 0, t->dtype);
        }
        // the negated comparison also catches NaN
        if (size == 0 || t->c > MAX_ELEMENTS || size > MAX_ELEMENTS || !(t->scale >= 1e-30f && t->scale <= 1e30f)) {
            return mt_fail(error, MT_ERR_CORRUPT, -1, h->tensors + i * (uint32_t)sizeof(mt_tensor_t), 0);
        }
    }
    uint32_t made[MAX_COUNT / 32] = {0}; // a bit a tensor
    made[h->input / 32] |= 1u << h->input % 32;
    for (int32_t i = 0; i < m->op_count; i++) {
        int code = read_op(m, i, made, error);
        if (code) {
            return code;
        }
        made[m->ops[i].output / 32] |= 1u << m->ops[i].output % 32;
    }
    if (h->output >= h->tensor_count || h->output != m->ops[m->op_count - 1].output) {
        return mt_fail(error, MT_ERR_CORRUPT, -1, 74, h->output);
    }
    return MT_OK;
}
