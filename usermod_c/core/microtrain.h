// microtrain: int8 training of neural networks on a microcontroller.
//
// The engine reads a model image in place, plans one training step for a scheme, and runs it in a block of memory that the caller gives.
// It never allocates, holds no globals, and uses floating point only for per-channel constants; every target gives the same bytes.
// Functions return MT_OK (0) or a negative mt_code. `mt_error_t`, where given, receives the operator and the numbers of the failure.
#ifndef MICROTRAIN_H
#define MICROTRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MT_VERSION_MAJOR 1 // of the image format: a reader refuses another one
#define MT_NONE 0xFFFFFFFFu
#define MT_NO_TENSOR 0xFFFFu
#define MT_ALIGN 8 // bytes, of every buffer in the block
#define MT_REGIONS 4 // most pieces that an arena may consist of
#ifndef MT_CORES
#define MT_CORES 1 // most that the engine can use: a build for a board with a second one says 2
#endif
#define MT_STACK_BYTES 2048 // of a second core, where the plan has one
#define MT_SESSION_BYTES 256 // reserved at the start of the block for mt_session_t, on 32- and 64-bit targets alike

enum mt_code {
    MT_OK = 0,
    MT_ERR_MAGIC = -1, // not a model image
    MT_ERR_VERSION = -2, // need: our major version, have: the image's
    MT_ERR_LENGTH = -3, // need: bytes the header names, have: bytes given
    MT_ERR_HASH = -4, // SHA-256 does not match
    MT_ERR_ALIGN = -5, // the image's address is not a multiple of 4
    MT_ERR_CORRUPT = -6, // a table entry is out of range or contradicts another; need: offset of the field
    MT_ERR_UNSUPPORTED = -7, // operator kind or dtype this engine does not have; have: the kind
    MT_ERR_SCHEME = -8, // the scheme trains what the operator does not have
    MT_ERR_MEMORY = -9, // need, have: bytes
    MT_ERR_LABEL = -10, // need: classes, have: the label
    MT_ERR_LIMIT = -11, // an accumulator could leave 32 bits; need: the terms it would sum, have: the most it may
    MT_ERR_NO_LOSS = -12, // the session was planned without a loss, or with the other one
    MT_ERR_HEAD = -13, // new head on a network that does not end in a linear operator
    MT_ERR_VALUE = -14, // a parameter is not finite or out of range
    MT_ERR_LEFT_OUT = -15, // operator kind that this build leaves out (operators.h); have: the kind
    MT_ERR_CRC = -16, // CRC-32 does not match
    MT_ERR_UNSIGNED = -17, // no signature behind the image
    MT_ERR_SIGNATURE = -18, // one of another key, or of another image
};

typedef struct {
    int32_t code;
    int32_t op; // index of the operator, -1 if none
    uint32_t need;
    uint32_t have;
} mt_error_t;

// ---- model image (format: usermod_c/README.md) ----

enum mt_kind {
    MT_CONV2D = 1,
    MT_DEPTHWISE_CONV2D,
    MT_LINEAR,
    MT_ADD,
    MT_AVERAGE_POOL,
    MT_MAX_POOL,
    MT_MEAN,
    MT_PAD,
    MT_RESHAPE,
    MT_SOFTMAX,
    MT_REQUANTIZE,
};

enum mt_activation {
    MT_ACT_NONE,
    MT_ACT_RELU,
    MT_ACT_RELU6,
    MT_ACT_RELU_N1_TO_1,
    MT_ACT_RANGE, // the output's own range is the clamp (MCUNetV3): a gradient stops where the value before it lay outside
};

typedef struct { // as stored
    uint16_t h, w;
    uint32_t c;
    float scale;
    int8_t zero_point;
    uint8_t dtype;
    uint16_t reserved;
} mt_tensor_t;

typedef struct { // as stored
    uint8_t kind, activation;
    int8_t act_min, act_max;
    uint16_t input[2], output;
    uint16_t kernel_h, kernel_w, stride_h, stride_w;
    uint16_t pad_top, pad_left, pad_bottom, pad_right;
    uint16_t channel_multiplier;
    uint32_t name, weights, bias, fold, mult, shift, weight_scale;
    int32_t param[8];
    uint8_t rounding; // of the requantisation: 0 twice (gemmlowp), 1 once
    uint8_t reserved[7];
} mt_op_t;

typedef struct {
    const uint8_t *base;
    uint32_t length;
    const mt_tensor_t *tensors;
    const mt_op_t *ops;
    uint32_t meta, meta_length;
    uint16_t tensor_count, op_count, input, output;
} mt_model_t;

// Validates `length` bytes at `image` and fills `model`, which points into them. `check_hash` also verifies the SHA-256.
int mt_model_open(mt_model_t *model, const void *image, size_t length, bool check_hash, mt_error_t *error);
// Elements of a tensor.
uint32_t mt_tensor_size(const mt_tensor_t *t);
// The operator's name, zero-terminated, in the image.
const char *mt_op_name(const mt_model_t *model, uint32_t op);
// Multiply-accumulates of one forward pass of an operator.
uint64_t mt_op_macs(const mt_model_t *model, uint32_t op);

// ---- plan ----

enum mt_wide { // which trained weights keep 8 fraction bits, one byte each
    MT_WIDE_HEAD, // the head's
    MT_WIDE_NONE,
    MT_WIDE_ALL,
};

enum mt_stream_kind { // what may run row by row where that makes the arena smaller: the same bytes, and no operation is done twice
    MT_STREAM_NONE,
    MT_STREAM_OPERATORS, // frozen operators at the beginning
    MT_STREAM_INPUT, // and the sample comes from a source, row by row
};

enum mt_loss_kind { MT_LOSS_NONE, MT_LOSS_CROSS_ENTROPY, MT_LOSS_MSE };

typedef struct { // what is trained of one operator
    bool bias;
    uint32_t channels; // how many input channels' weights (depthwise: channels); 0 none, in_c all
    const uint16_t *list; // which, ascending; NULL: the first `channels`
} mt_layer_scheme_t;

typedef struct { // a piece of memory for a part of the arena
    void *data; // 8-aligned
    uint32_t bytes;
} mt_region_t;

typedef struct {
    enum mt_loss_kind loss; // MT_LOSS_NONE plans inference: int8 outputs exactly as the image says
    uint32_t new_classes; // > 0: replace the last linear operator by a zero-initialised one with this many outputs
    const mt_layer_scheme_t *layers; // one per operator; NULL trains nothing
    enum mt_wide wide;
    uint32_t gradient_bits; // of a gradient: 8 in a byte, or 12 in two; 0 means 8
    uint32_t momentum_bits; // of a parameter's velocity, which momentum and summed samples need: 8 or 16; 0: none
    const mt_region_t *regions; // where the arena goes; NULL: behind the rest of the block, in one piece
    uint32_t region_count;
    enum mt_stream_kind stream;
    uint32_t cores; // up to MT_CORES. 2: a stack, and scratch for halves of an operator that run at the same time (mt_session_set_split); 0 or 1: one at a time
} mt_scheme_t;

enum { // mt_op_plan_t.flags
    MT_F_RUN = 1, // executed in this plan
    MT_F_GRAD = 2, // its backward pass runs
    MT_F_GRAD_IN0 = 4, // ... and computes (or passes on) the gradient of input 0
    MT_F_GRAD_IN1 = 8, // ... of input 1
    MT_F_ALIAS0 = 16, // input 0 shares the gradient buffer of the output
    MT_F_ALIAS1 = 32,
    MT_F_MASK = 64, // the clamp stops gradients
    MT_F_MASK_BITS = 128, // ... and is kept as bits; else it is derived from the kept output
    MT_F_LOGITS = 256, // output is int32 Q16 in real units
    MT_F_BIAS = 512, // bias trained
    MT_F_COMPACT = 1024, // `saved` holds only the trained channels of the input
    MT_F_NEW = 2048, // a new head: nothing in the image
    MT_F_GRAD_TOP16 = 4096, // the gradient of the output is int16
    MT_F_WIDE = 8192, // trained weights have 8 fraction bits
    MT_F_VELOCITY_SHIFT = 14, // from here on: bytes of one trained parameter's velocity, 0 to 2
};

typedef struct { // one operator; offsets count from the start of the arena (its regions one after the other), MT_NONE where there is none
    uint16_t flags;
    uint16_t channels; // trained input channels
    uint16_t in_root[2], out_root; // tensors whose memory and gradient these are: a reshape shares its input's
    uint16_t rows; // of the output that its memory holds, where the operator runs row by row; 0: all
    uint32_t in[2], out;
    uint32_t mask, saved;
    uint32_t scratch_forward, scratch_backward;
    uint32_t grad_out; // gradient of the output as it arrives
    uint32_t grad_masked; // after the clamp mask; equals grad_out where that may be overwritten
    uint32_t grad_in[2];
    uint32_t skip[2]; // gradient already waiting at the input, to be added inside the accumulator
    uint32_t list; // u16 channel list, from the start of the channel lists
    uint32_t state; // trained tensors, from the start of the state
    uint32_t derived; // sums and multipliers derived from them, from the start of the derived part
} mt_op_plan_t;

typedef struct {
    uint32_t arena_bytes; // activations, masks, gradients, scratch
    uint32_t arena_lower_bound; // largest sum of bytes live at once
    uint32_t state_bytes; // what a checkpoint holds: trained tensors, random state, shift states
    uint32_t derived_bytes;
    uint32_t table_bytes; // session header, operator plans, channel lists, exponents, the second core's stack
    uint32_t total_bytes; // sum of the above: the block mt_session_init needs (without the arena, where that has regions)
    uint32_t trainable_bytes; // int8 weights and int32 biases in the state
    uint32_t optimizer_bytes; // of the state: velocities
    uint32_t classes; // length of the output
    uint32_t peak_op; // where most bytes are live at once
    bool peak_backward;
    uint64_t forward_macs, backward_macs;
} mt_plan_info_t;

typedef struct {
    mt_plan_info_t info;
    mt_op_plan_t *ops; // op_count
    uint16_t *lists;
    uint32_t list_count; // u16 entries
    uint32_t run_count; // operators executed: [0, run_count)
    uint32_t output; // arena offset of the network's output
    uint32_t grad_top; // arena offset of the loss gradient
    uint32_t loss_scratch;
    uint32_t input; // arena offset of the input
    enum mt_loss_kind loss;
    uint32_t new_classes;
    uint32_t gradient_bits;
    mt_region_t regions[MT_REGIONS]; // with the bytes that are used of each
    uint32_t region_start[MT_REGIONS]; // arena offsets
    uint32_t region_count;
    uint32_t stream_ops; // the first operators, which run row by row
    uint32_t stream; // arena offset of the rows that are there
    uint32_t input_rows; // of the sample that the arena holds; 0: all
    uint32_t cores; // as in the scheme, never 0
} mt_plan_t;

typedef struct { // of one operator, for reports
    uint32_t trained_weights, trained_bias; // parameters
    uint32_t saved_bytes, mask_bytes; // kept from forward to backward
    uint64_t forward_macs, backward_macs;
} mt_layer_info_t;

// Bytes of temporary, 8-aligned memory that mt_plan needs.
size_t mt_plan_work_size(const mt_model_t *model, const mt_scheme_t *scheme);
// Plans one step. `plan` points into `work`, which must live until mt_session_init has copied it.
int mt_plan(const mt_model_t *model, const mt_scheme_t *scheme, void *work, size_t work_size, mt_plan_t *plan, mt_error_t *error);
void mt_plan_layer(const mt_model_t *model, const mt_plan_t *plan, uint32_t op, mt_layer_info_t *info);

// ---- session: a plan with its memory ----

typedef struct { // rule R7 of the gradient shift, one an input gradient
    uint8_t shift, low, seen, reserved;
} mt_shift_t;

// Watches gradients as they are made, before the update: `kind` 0 weights of one output channel, 1 bias of one output channel.
// The real gradient is g[i] * 2^exponent * input scale (weights), g[0] * 2^exponent (bias).
typedef void (*mt_tap_t)(void *context, uint32_t op, int kind, uint32_t channel, const int32_t *g, uint32_t n, int exponent);

// Writes the sample's next row; called for all of them, in order, in every forward pass.
typedef void (*mt_row_source_t)(void *context, int8_t *row, uint32_t bytes);

// Calls half(first) and half(second), which write disjoint memory, at the same time or one after the other, and returns when both have.
typedef void (*mt_half_t)(void *argument);
typedef void (*mt_split_t)(void *context, mt_half_t half, void *first, void *second);

typedef struct {
    const mt_model_t *model;
    uint8_t *block;
    mt_op_plan_t *ops;
    uint16_t *lists;
    int16_t *exponents; // of the gradient of each tensor
    uint8_t *stack; // MT_STACK_BYTES for the second core; NULL where the plan has one
    uint8_t *state, *derived;
    uint8_t *arena[MT_REGIONS]; // arena offset region_start[k] is the first byte of arena[k]
    uint32_t region_start[MT_REGIONS]; // MT_NONE where there is no region
    uint32_t *rng; // xorshift32, never 0; first word of the state. The second: samples summed since the last update
    mt_shift_t *shifts; // two an operator
    mt_tap_t tap;
    void *tap_context;
    uint32_t state_bytes, total_bytes, run_count, output, grad_top, loss_scratch, input, classes, stream;
    uint16_t stream_ops, input_rows;
    mt_row_source_t source;
    void *source_context;
    mt_split_t split; // NULL: operators run whole
    void *split_context;
    int32_t lr_mantissa; // Q30 in [1, 2); 0: no update
    float weight_decay;
    int16_t lr_exponent;
    uint16_t momentum; // Q15
    uint16_t accumulate; // 1 or more
    uint8_t loss, logits, gradient_bits;
    bool plain; // no momentum, decay, accumulation
    bool qas; // quantisation-aware scaling of the updates
    bool exact_shifts; // redo every pass with the shift it needs (tests, diagnosis)
} mt_session_t;

// Lays the plan out in `block` (8-aligned, at least info.total_bytes, less info.arena_bytes where the arena has regions) and copies the trained tensors of the image into it.
int mt_session_init(mt_session_t **session, const mt_model_t *model, const mt_plan_t *plan, void *block, size_t block_size,
    uint32_t seed, mt_error_t *error);
// SGD step size in real units, as in PyTorch; 0 <= lr < 2^31.
int mt_session_set_lr(mt_session_t *s, float lr);

typedef struct { // SGD's settings, as in PyTorch: v = momentum * v + g + weight_decay * w, w -= lr * v
    float momentum; // 0 <= momentum < 1
    float weight_decay; // of every trained parameter, biases too; 0 <= weight_decay < 2^31
    uint32_t accumulate; // samples, 1 to 65535, whose mean gradient makes one update
    // Quantisation-aware scaling makes an update what SGD on the real parameters would be. Without it SGD moves the quantised parameters by
    // their own gradients, unit^2 times as far, where a parameter stands for a multiple of that unit; except in the operator of the logits.
    bool qas;
} mt_optimizer_t;

// At first plain SGD: no momentum, no decay, one sample, QAS. MT_ERR_VALUE where a value is out of range, or needs the plan's momentum_bits.
int mt_session_set_optimizer(mt_session_t *s, const mt_optimizer_t *optimizer);
// The int8 input sample, h*w*c bytes. Operators may overwrite it: write it before every forward pass.
int8_t *mt_session_input(mt_session_t *s);
// Where the sample comes from if the plan has input_rows: instead of mt_session_input.
void mt_session_set_source(mt_session_t *s, mt_row_source_t source, void *context);
// From now on convolutions run in two halves: forward by rows or channels of the output, input gradients by pixels or channels; the same bytes. What works
// in place or updates parameters stays whole. NULL: whole again. MT_ERR_VALUE where the plan has no memory for it (mt_scheme_t.cores).
int mt_session_set_split(mt_session_t *s, mt_split_t split, void *context);
// Whether halves that ran on `stack` have left its last bytes alone; true where there is none.
bool mt_session_stack_is_intact(const mt_session_t *s);
// Runs the network. Afterwards mt_session_output holds the logits (int32 Q16, `logits` set) or the int8 output.
void mt_session_forward(mt_session_t *s);
const void *mt_session_output(const mt_session_t *s);
// Index of the largest output, the first of equals.
uint32_t mt_session_argmax(const mt_session_t *s);
// After forward: softmax cross-entropy with `label`; loss in Q16 nats.
int mt_session_cross_entropy(mt_session_t *s, uint32_t label, uint32_t *loss_q16);
// After forward: mean squared error to mt_session_target; loss in Q16, saturating.
int mt_session_mse(mt_session_t *s, uint32_t *loss_q16);
// Where the target of the mean squared error goes, after forward: Q16 real units, one an output.
int32_t *mt_session_target(mt_session_t *s);
// After a loss: gradients of every trained operator, each updated in place as soon as its gradient is known.
void mt_session_backward(mt_session_t *s);
// The same one operator at a time, for callers with something to do in between: forward_op(0 .. run_count - 1), a loss,
// (those that run row by row all run in the last one's turn)
// then, where the loss left a gradient (a sample that is already right leaves none), backward_op(run_count - 1 .. 0).
void mt_session_forward_op(mt_session_t *s, uint32_t op);
bool mt_session_has_gradient(const mt_session_t *s);
void mt_session_backward_op(mt_session_t *s, uint32_t op);
// What a checkpoint holds. After writing to it call mt_session_refresh.
uint8_t *mt_session_state(mt_session_t *s);
void mt_session_refresh(mt_session_t *s);
// Copies every trained tensor that both sessions (of one model) hold; MT_ERR_SCHEME names one that `to` lacks.
int mt_session_carry(mt_session_t *to, const mt_session_t *from, mt_error_t *error);

#endif // MICROTRAIN_H
