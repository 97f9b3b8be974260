#include "modmicrotrain.h"

#include "cores.h"

#include <string.h>

#include "py/objarray.h"
#include "py/runtime.h"

typedef struct {
    mp_obj_base_t base;
    plan_obj_t *plan;
    mt_session_t *session;
    mp_obj_t memory; // keeps the caller's memory alive
    void *pieces[1 + MT_REGIONS]; // the block and the arena's regions, where the garbage collector sees them
    mp_obj_t input; // view of the input sample; None where the arena never holds all of it
    uint32_t input_size;
    mt_augmentation_t augmentation; // of the next sample
    bool augmented; // whether it has one
    // since the last stats()
    uint64_t loss_q16;
    uint32_t samples, correct;
} session_obj_t;

static const mt_model_t *model_of(const session_obj_t *self) {
    return &self->plan->model->model;
}

// `n` items at `items`. The view points at the start of the piece that holds them, so that it keeps that alive; `free` is what
// objarray.c calls memview_offset.
static mp_obj_t view(const session_obj_t *self, char typecode, size_t n, const void *items) {
    const uint8_t *piece = NULL;
    for (size_t k = 0; k <= MT_REGIONS; k++) {
        const uint8_t *start = self->pieces[k];
        piece = start && start <= (const uint8_t *)items && start >= piece ? start : piece;
    }
    mp_obj_array_t *o = MP_OBJ_TO_PTR(mp_obj_new_memoryview(typecode | MP_OBJ_ARRAY_TYPECODE_FLAG_RW, n, (void *)piece));
    o->free = ((const uint8_t *)items - piece) / (typecode == 'i' ? 4 : 1);
    return MP_OBJ_FROM_PTR(o);
}

// Session(plan, seed=1, memory=None): the plan with its memory of info()["total_ram_bytes"]: from the heap, in one piece where it has
// that, or `memory`: an 8-aligned buffer, or a tuple of them, the first for the trained state and the others for the arena.
static mp_obj_t session_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 3, false);
    plan_obj_t *plan = microtrain_as(args[0], &microtrain_plan_type);
    const mt_model_t *m = &plan->model->model;
    uint32_t seed = n_args > 1 ? mp_obj_get_int_truncated(args[1]) : 1;
    mp_obj_t memory = n_args > 2 ? args[2] : mp_const_none;
    mp_buffer_info_t block = microtrain_memory(plan, memory);
    session_obj_t *self = mp_obj_malloc(session_obj_t, type);
    mt_error_t error = {0};
    if (mt_session_init(&self->session, m, &plan->plan, block.buf, block.len, seed, &error)) {
        if (error.code == MT_ERR_ALIGN) {
            mp_raise_ValueError(MP_ERROR_TEXT("memory: its address must be a multiple of 8"));
        }
        error.op = plan->plan.info.peak_op;
        microtrain_raise(m, &error);
    }
    self->plan = plan;
    self->memory = memory;
    self->pieces[0] = block.buf;
    for (size_t k = 0; k < MT_REGIONS; k++) {
        self->pieces[k + 1] = plan->plan.regions[k].bytes ? plan->plan.regions[k].data : NULL;
    }
    self->input_size = mt_tensor_size(&m->tensors[m->input]);
    self->input = self->session->input_rows ? mp_const_none : view(self, 'B', self->input_size, mt_session_input(self->session));
    self->augmented = false;
    self->loss_q16 = 0;
    self->samples = self->correct = 0;
    microtrain_claim_cores(self->session);
    return MP_OBJ_FROM_PTR(self);
}

static void raise_code(const session_obj_t *self, int code, uint32_t have) {
    if (code) {
        mt_error_t error = {code, -1, self->session->classes, have};
        microtrain_raise(model_of(self), &error);
    }
}

// session.forward(x): runs the network on int8 sample x: a buffer, a stream that stands at it, or None: on what session.input holds.
static mp_obj_t session_forward(mp_obj_t self_in, mp_obj_t x) {
    session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    bool augmented = self->augmented;
    self->augmented = false; // whatever happens to this sample
    microtrain_forward(self->session, x, augmented ? &self->augmentation : NULL);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(session_forward_obj, session_forward);

// Target vector in real units to Q16: array("f"), or int8 values in the quantisation of the model's input.
static void set_target(const session_obj_t *self, mp_obj_t y) {
    mp_buffer_info_t target;
    mp_get_buffer_raise(y, &target, MP_BUFFER_READ);
    int32_t *q16 = mt_session_target(self->session);
    if (!q16) {
        raise_code(self, MT_ERR_NO_LOSS, 0);
    }
    uint32_t n = self->session->classes, width = target.typecode == 'f' ? 4 : 1;
    if (target.len != (size_t)n * width) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("target of %u values: the network has %u outputs"), (unsigned)(target.len / width), (unsigned)n);
    }
    const mt_tensor_t *in = &model_of(self)->tensors[model_of(self)->input];
    for (uint32_t i = 0; i < n; i++) {
        float v = width == 4 ? ((const float *)target.buf)[i] : (float)(((const int8_t *)target.buf)[i] - in->zero_point) * in->scale;
        if (!(v >= -32767.0f && v <= 32767.0f)) {
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("target %u: not between -32767 and 32767"), (unsigned)i);
        }
        q16[i] = (int32_t)(v * 65536.0f);
    }
}

static uint32_t compute_loss(const session_obj_t *self, mp_obj_t y) {
    uint32_t loss = 0;
    if (mp_obj_is_int(y)) {
        mp_int_t label = mp_obj_get_int(y);
        raise_code(self, label < 0 ? MT_ERR_LABEL : mt_session_cross_entropy(self->session, label, &loss), label);
    } else {
        set_target(self, y);
        raise_code(self, mt_session_mse(self->session, &loss), 0);
    }
    return loss;
}

// A loss as a small int, so that a step allocates nothing.
static mp_obj_t small_loss(uint32_t loss) {
    return MP_OBJ_NEW_SMALL_INT(loss > 0x3FFFFFFF ? 0x3FFFFFFF : loss);
}

// session.loss(y) -> loss in Q16 of the last forward; y is a class index, or a target vector.
static mp_obj_t session_loss(mp_obj_t self_in, mp_obj_t y) {
    return small_loss(compute_loss(MP_OBJ_TO_PTR(self_in), y));
}
static MP_DEFINE_CONST_FUN_OBJ_2(session_loss_obj, session_loss);

static void backward(const session_obj_t *self) {
    mt_session_backward(self->session);
    microtrain_rest_cores(self->session);
}

// session.backward(): gradients and updates after a loss.
static mp_obj_t session_backward(mp_obj_t self_in) {
    backward(MP_OBJ_TO_PTR(self_in));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_backward_obj, session_backward);

// session.run_op(op, backward): one operator of forward() or backward(), in their order, to be measured alone; of a plan with stream=0.
static mp_obj_t session_run_op(mp_obj_t self_in, mp_obj_t op_in, mp_obj_t backward) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_int_t op = mp_obj_get_int(op_in);
    if (op < 0 || op >= (mp_int_t)self->plan->plan.run_count || self->session->stream_ops) {
        mp_raise_ValueError(MP_ERROR_TEXT("no such operator in the plan, or one with stream=0 needed"));
    }
    if (mp_obj_is_true(backward)) {
        if (mt_session_has_gradient(self->session)) {
            mt_session_backward_op(self->session, op);
        }
    } else {
        mt_session_forward_op(self->session, op);
    }
    microtrain_rest_cores(self->session);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(session_run_op_obj, session_run_op);

static void count(session_obj_t *self, mp_obj_t y, uint32_t loss) {
    self->samples++;
    self->loss_q16 += loss;
    self->correct += mp_obj_is_int(y) && mt_session_argmax(self->session) == (uint32_t)mp_obj_get_int(y);
}

// session.step(x, y) -> loss in Q16: forward, loss, backward and update; counted in stats(). Allocates nothing.
static mp_obj_t session_step(mp_obj_t self_in, mp_obj_t x, mp_obj_t y) {
    session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    session_forward(self_in, x);
    uint32_t loss = compute_loss(self, y);
    count(self, y, loss);
    backward(self);
    return small_loss(loss);
}
static MP_DEFINE_CONST_FUN_OBJ_3(session_step_obj, session_step);

// session.score(x, y) -> loss in Q16 without training; counted in stats(). Allocates nothing.
static mp_obj_t session_score(mp_obj_t self_in, mp_obj_t x, mp_obj_t y) {
    session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    session_forward(self_in, x);
    uint32_t loss = compute_loss(self, y);
    count(self, y, loss);
    return small_loss(loss);
}
static MP_DEFINE_CONST_FUN_OBJ_3(session_score_obj, session_score);

// session.augment(x, settings): changes int8 sample x in place, or with None the one that the next forward() gets; settings: array("I") of
// flip, shift, brightness, cutout and the state of the generator, as augment.h says. Allocates nothing.
static mp_obj_t session_augment(mp_obj_t self_in, mp_obj_t x, mp_obj_t settings) {
    session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t sample = {.len = self->input_size}, words;
    if (x != mp_const_none) {
        mp_get_buffer_raise(x, &sample, MP_BUFFER_RW);
    }
    mp_get_buffer_raise(settings, &words, MP_BUFFER_RW);
    mt_augment_t *a = words.buf;
    if (sample.len != self->input_size || words.typecode != 'I' || words.len != sizeof(*a) || a->shift > MT_AUGMENT_MAX
        || a->cutout > MT_AUGMENT_MAX || a->brightness > 255) {
        mp_raise_ValueError(MP_ERROR_TEXT("augment: a sample of the model and the settings of an Augment needed"));
    }
    mt_augment_shape_t shape = microtrain_sample_shape(model_of(self));
    mt_augmentation_t drawn = mt_augment_draw(a, &shape);
    if (x == mp_const_none) {
        self->augmentation = drawn;
        self->augmented = true;
    } else {
        mt_augment_sample(&drawn, sample.buf, &shape);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(session_augment_obj, session_augment);

// session.stats() -> (sum of losses in Q16, correct, samples) since the last call
static mp_obj_t session_stats(mp_obj_t self_in) {
    session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_obj_t items[] = {mp_obj_new_int_from_ull(self->loss_q16), mp_obj_new_int_from_uint(self->correct), mp_obj_new_int_from_uint(self->samples)};
    self->loss_q16 = 0;
    self->samples = self->correct = 0;
    return mp_obj_new_tuple(3, items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_stats_obj, session_stats);

// session.argmax() -> index of the largest output
static mp_obj_t session_argmax(mp_obj_t self_in) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return MP_OBJ_NEW_SMALL_INT(mt_session_argmax(self->session));
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_argmax_obj, session_argmax);

// session.output() -> memoryview of the outputs: int32 Q16 logits, or int8; valid until the next forward
static mp_obj_t session_output(mp_obj_t self_in) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return view(self, self->session->logits ? 'i' : 'b', self->session->classes, mt_session_output(self->session));
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_output_obj, session_output);

// session.state() -> writable memoryview of the trained tensors, random state and shift states; call refresh() after writing
static mp_obj_t session_state(mp_obj_t self_in) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return view(self, 'B', self->session->state_bytes, mt_session_state(self->session));
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_state_obj, session_state);

static mp_obj_t session_refresh(mp_obj_t self_in) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mt_session_refresh(self->session);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(session_refresh_obj, session_refresh);

// session.carry(other): takes over what the other session has trained
static mp_obj_t session_carry(mp_obj_t self_in, mp_obj_t other_in) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in), *other = microtrain_as(other_in, &microtrain_session_type);
    mt_error_t error = {0};
    if (model_of(self) != model_of(other)) {
        mp_raise_ValueError(MP_ERROR_TEXT("the sessions belong to different models"));
    }
    if (mt_session_carry(self->session, other->session, &error)) {
        mp_raise_msg_varg(&mp_type_ValueError,
            MP_ERROR_TEXT("%s has been trained, and this scheme does not hold it: use a scheme that trains it too, or model.reset()"),
            mt_op_name(model_of(self), error.op));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(session_carry_obj, session_carry);

// session.lr(value): SGD step size, real units
static mp_obj_t session_lr(mp_obj_t self_in, mp_obj_t lr) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (mt_session_set_lr(self->session, (float)mp_obj_get_float(lr))) {
        mp_raise_ValueError(MP_ERROR_TEXT("learning rate not finite, negative or above 2^31"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(session_lr_obj, session_lr);

// session.optimizer(momentum, weight_decay, accumulate, qas): the settings of mt_optimizer_t
static mp_obj_t session_optimizer(size_t n_args, const mp_obj_t *args) {
    const session_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_int_t accumulate = mp_obj_get_int(args[3]);
    mt_optimizer_t optimizer = {(float)mp_obj_get_float(args[1]), (float)mp_obj_get_float(args[2]),
                                accumulate < 0 || accumulate > 65535 ? 0 : (uint32_t)accumulate, mp_obj_is_true(args[4])};
    if (mt_session_set_optimizer(self->session, &optimizer)) {
        mp_raise_ValueError(MP_ERROR_TEXT("momentum in 0..1, weight_decay in 0..2^31 and accumulate in 1..65535 needed"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(session_optimizer_obj, 5, 5, session_optimizer);

// session.input: memoryview of the input sample in the arena; write it before every forward(None). None where samples come row by row.
static void session_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    const session_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return;
    }
    if (attr == MP_QSTR_input) {
        dest[0] = self->input;
    } else if (attr == MP_QSTR_classes) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(self->session->classes);
    } else if (attr == MP_QSTR_logits) {
        dest[0] = mp_obj_new_bool(self->session->logits);
    } else {
        dest[1] = MP_OBJ_SENTINEL; // a method
    }
}

MICROTRAIN_DICT(session_locals,
    {MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&session_forward_obj)}, {MP_ROM_QSTR(MP_QSTR_loss), MP_ROM_PTR(&session_loss_obj)},
    {MP_ROM_QSTR(MP_QSTR_backward), MP_ROM_PTR(&session_backward_obj)}, {MP_ROM_QSTR(MP_QSTR_step), MP_ROM_PTR(&session_step_obj)},
    {MP_ROM_QSTR(MP_QSTR_score), MP_ROM_PTR(&session_score_obj)}, {MP_ROM_QSTR(MP_QSTR_stats), MP_ROM_PTR(&session_stats_obj)},
    {MP_ROM_QSTR(MP_QSTR_argmax), MP_ROM_PTR(&session_argmax_obj)}, {MP_ROM_QSTR(MP_QSTR_output), MP_ROM_PTR(&session_output_obj)},
    {MP_ROM_QSTR(MP_QSTR_state), MP_ROM_PTR(&session_state_obj)}, {MP_ROM_QSTR(MP_QSTR_refresh), MP_ROM_PTR(&session_refresh_obj)},
    {MP_ROM_QSTR(MP_QSTR_carry), MP_ROM_PTR(&session_carry_obj)}, {MP_ROM_QSTR(MP_QSTR_lr), MP_ROM_PTR(&session_lr_obj)},
    {MP_ROM_QSTR(MP_QSTR_run_op), MP_ROM_PTR(&session_run_op_obj)}, {MP_ROM_QSTR(MP_QSTR_augment), MP_ROM_PTR(&session_augment_obj)},
    {MP_ROM_QSTR(MP_QSTR_optimizer), MP_ROM_PTR(&session_optimizer_obj)});

MP_DEFINE_CONST_OBJ_TYPE(microtrain_session_type, MP_QSTR_Session, MP_TYPE_FLAG_NONE, make_new, session_make_new, attr, session_attr,
    locals_dict, MICROTRAIN_DICT_ADDRESS(session_locals));
