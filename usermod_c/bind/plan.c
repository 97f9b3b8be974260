#include "modmicrotrain.h"

#include <string.h>

#include "py/objarray.h"
#include "py/runtime.h"

// One entry of a scheme: (operator, bias, channels); channels is 0, a count, or an array("H") of ascending input channels.
static void read_layer(const mt_model_t *m, mp_obj_t entry, mt_layer_scheme_t *layers) {
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(entry, 3, &items);
    mp_int_t op = mp_obj_get_int(items[0]);
    if (op < 0 || op >= m->op_count) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("operator %d out of range: the model has %d"), (int)op, (int)m->op_count);
    }
    layers[op].bias = mp_obj_is_true(items[1]);
    mp_buffer_info_t list;
    if (mp_get_buffer(items[2], &list, MP_BUFFER_READ)) {
        if (list.typecode != 'H') {
            mp_raise_ValueError(MP_ERROR_TEXT("input channels: array('H') needed"));
        }
        layers[op].channels = list.len / 2;
        layers[op].list = list.buf;
    } else {
        mp_int_t channels = mp_obj_get_int(items[2]);
        if (channels < 0) {
            mp_raise_ValueError(MP_ERROR_TEXT("input channels: a count of 0 or more needed"));
        }
        layers[op].channels = channels;
    }
}

int microtrain_replan(plan_obj_t *self, const mt_region_t *regions, size_t count, mt_error_t *error) {
    const mt_model_t *m = &self->model->model;
    mt_scheme_t scheme = self->scheme;
    scheme.regions = regions;
    scheme.region_count = count;
    size_t size = mt_plan_work_size(m, &scheme);
    uint8_t *work = m_new_maybe(uint8_t, size);
    if (!work) {
        *error = (mt_error_t) {MT_ERR_MEMORY, -1, size, 0};
        return MT_ERR_MEMORY;
    }
    mt_plan_t plan;
    int code = mt_plan(m, &scheme, work, size, &plan, error);
    if (code) {
        m_del(uint8_t, work, size);
        return code;
    }
    size_t kept = (const uint8_t *)(plan.lists + plan.list_count) - work; // operator plans and channel lists come first
    // An earlier plan's copy has the same size, as the scheme is the same. A copy is more likely to lie low in the heap than what `work`
    // could be cut down to, and leaves a larger piece for the arena.
    uint8_t *copy = self->work ? self->work : m_new_maybe(uint8_t, kept);
    if (copy) {
        memcpy(copy, work, kept);
        plan.ops = (mt_op_plan_t *)(copy + ((uint8_t *)plan.ops - work));
        plan.lists = (uint16_t *)(copy + ((uint8_t *)plan.lists - work));
        m_del(uint8_t, work, size);
    } else {
        copy = m_renew_maybe(uint8_t, work, size, kept, false);
    }
    self->work = copy;
    self->plan = plan;
    return MT_OK;
}

// Plan(model, layers=(), loss=0, classes=0, wide=False, gradient_bits=8, momentum_bits=0, stream=2, cores=1): what one step needs. classes > 0 plans a
// new head; wide gives every trained weight 8 fraction bits, otherwise only the head's have them; gradients have 8 bits, or 12 in two bytes;
// momentum_bits 8 or 16 plans a velocity for every trained parameter; stream: what may run row by row to save RAM (enum mt_stream_kind);
// cores: 2 plans the scratch of operators in two halves.
static mp_obj_t plan_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 9, false);
    model_obj_t *model = microtrain_as(args[0], &microtrain_model_type);
    const mt_model_t *m = &model->model;
    mt_layer_scheme_t *layers = m_new0(mt_layer_scheme_t, m->op_count);
    if (n_args > 1) {
        size_t n;
        mp_obj_t *entries;
        mp_obj_get_array(args[1], &n, &entries);
        for (size_t i = 0; i < n; i++) {
            read_layer(m, entries[i], layers);
        }
    }
    mp_int_t loss = n_args > 2 ? mp_obj_get_int(args[2]) : 0, classes = n_args > 3 ? mp_obj_get_int(args[3]) : 0;
    if (loss < MT_LOSS_NONE || loss > MT_LOSS_MSE || classes < 0 || classes > 65535) {
        mp_raise_ValueError(MP_ERROR_TEXT("loss 0 to 2 and 0 to 65535 classes needed"));
    }
    mp_int_t bits = n_args > 5 ? mp_obj_get_int(args[5]) : 8, momentum_bits = n_args > 6 ? mp_obj_get_int(args[6]) : 0;
    if (bits != 8 && bits != 12) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("gradient_bits %d: 8 or 12 needed"), (int)bits);
    }
    if (momentum_bits != 0 && momentum_bits != 8 && momentum_bits != 16) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("momentum_bits %d: 0, 8 or 16 needed"), (int)momentum_bits);
    }
    mp_int_t stream = n_args > 7 ? mp_obj_get_int(args[7]) : MT_STREAM_INPUT;
    if (stream < MT_STREAM_NONE || stream > MT_STREAM_INPUT) {
        mp_raise_ValueError(MP_ERROR_TEXT("stream: 0 to 2 needed"));
    }
    mp_int_t cores = n_args > 8 ? mp_obj_get_int(args[8]) : 1;
    if (cores < 1 || cores > 2) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("cores %d: 1 or 2 needed"), (int)cores);
    }
    if (cores > MT_CORES) {
        mp_raise_ValueError(MP_ERROR_TEXT("cores 2: this firmware runs the engine on one core: use cores=1"));
    }
    plan_obj_t *self = mp_obj_malloc(plan_obj_t, type);
    self->model = model;
    self->work = NULL;
    self->scheme = (mt_scheme_t) {.loss = (enum mt_loss_kind)loss, .new_classes = classes, .layers = layers,
        .wide = n_args > 4 && mp_obj_is_true(args[4]) ? MT_WIDE_ALL : MT_WIDE_HEAD, .gradient_bits = bits, .momentum_bits = momentum_bits,
        .stream = (enum mt_stream_kind)stream, .cores = cores};
    mt_error_t error = {0};
    if (microtrain_replan(self, NULL, 0, &error)) {
        microtrain_raise(m, &error);
    }
    return MP_OBJ_FROM_PTR(self);
}

// plan.layer(i) -> (trained weights, trained biases, saved bytes, mask bytes, forward MACs, backward MACs)
static mp_obj_t plan_layer(mp_obj_t self_in, mp_obj_t index_in) {
    plan_obj_t *self = MP_OBJ_TO_PTR(self_in);
    size_t i = mp_get_index(&microtrain_plan_type, self->model->model.op_count, index_in, false);
    mt_layer_info_t info;
    mt_plan_layer(&self->model->model, &self->plan, i, &info);
    mp_obj_t items[] = {
        mp_obj_new_int_from_uint(info.trained_weights), mp_obj_new_int_from_uint(info.trained_bias), mp_obj_new_int_from_uint(info.saved_bytes),
        mp_obj_new_int_from_uint(info.mask_bytes), mp_obj_new_int_from_ull(info.forward_macs), mp_obj_new_int_from_ull(info.backward_macs),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_2(plan_layer_obj, plan_layer);

// plan.info() -> dict of bytes and multiply-accumulates
static mp_obj_t plan_info(mp_obj_t self_in) {
    const plan_obj_t *self = MP_OBJ_TO_PTR(self_in);
    const mt_plan_info_t *info = &self->plan.info;
    const char *peak = mt_op_name(&self->model->model, info->peak_op);
    const struct {
        qstr key;
        uint32_t value;
    } entries[] = {
        {MP_QSTR_arena_bytes, info->arena_bytes}, {MP_QSTR_arena_lower_bound_bytes, info->arena_lower_bound},
        {MP_QSTR_state_bytes, info->state_bytes}, {MP_QSTR_derived_bytes, info->derived_bytes},
        {MP_QSTR_table_bytes, info->table_bytes}, {MP_QSTR_trainable_bytes, info->trainable_bytes},
        {MP_QSTR_total_ram_bytes, info->total_bytes}, {MP_QSTR_flash_bytes, self->model->model.length},
        {MP_QSTR_classes, info->classes}, {MP_QSTR_optimizer_bytes, info->optimizer_bytes},
        {MP_QSTR_stream_ops, self->plan.stream_ops}, {MP_QSTR_input_rows, self->plan.input_rows},
    };
    mp_obj_t dict = mp_obj_new_dict(MP_ARRAY_SIZE(entries) + 3);
    for (size_t i = 0; i < MP_ARRAY_SIZE(entries); i++) {
        mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(entries[i].key), mp_obj_new_int_from_uint(entries[i].value));
    }
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_forward_macs), mp_obj_new_int_from_ull(info->forward_macs));
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_backward_macs), mp_obj_new_int_from_ull(info->backward_macs));
    mp_obj_t where[] = {mp_obj_new_str(peak, strlen(peak)), MP_OBJ_NEW_QSTR(info->peak_backward ? MP_QSTR_backward : MP_QSTR_forward)};
    mp_obj_dict_store(dict, MP_OBJ_NEW_QSTR(MP_QSTR_peak), mp_obj_new_tuple(2, where));
    return dict;
}
static MP_DEFINE_CONST_FUN_OBJ_1(plan_info_obj, plan_info);

MICROTRAIN_DICT(plan_locals,
    {MP_ROM_QSTR(MP_QSTR_layer), MP_ROM_PTR(&plan_layer_obj)},
    {MP_ROM_QSTR(MP_QSTR_info), MP_ROM_PTR(&plan_info_obj)});

MP_DEFINE_CONST_OBJ_TYPE(microtrain_plan_type, MP_QSTR_Plan, MP_TYPE_FLAG_NONE, make_new, plan_make_new, locals_dict, 
    MICROTRAIN_DICT_ADDRESS(plan_locals));
