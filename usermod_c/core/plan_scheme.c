#include "planner.h"

#include "gradient.h"
#include "operand.h"
#include "ops/pool.h"

#define MAX_NEW_WEIGHTS (1u << 24)

// Executed operators: with a loss, the final softmax is left out, and whatever only reshapes the head's output.
static void find_end(planner_t *p) {
    const mt_model_t *m = p->m;
    p->n = m->op_count;
    p->classes = mt_tensor_size(&m->tensors[m->ops[p->n - 1].output]);
    if (p->scheme->loss == MT_LOSS_NONE) {
        return;
    }
    while (p->n > 1 && (m->ops[p->n - 1].kind == MT_SOFTMAX || m->ops[p->n - 1].kind == MT_RESHAPE)
           && m->ops[p->n - 2].output == m->ops[p->n - 1].input[0]) {
        p->n--;
    }
    const mt_op_t *last = &m->ops[p->n - 1];
    if (last->kind == MT_LINEAR && last->activation == MT_ACT_NONE && last->act_min == -128 && last->act_max == 127) {
        p->plan->ops[p->n - 1].flags |= MT_F_LOGITS;
    }
}

static int set_new_head(planner_t *p) {
    uint32_t classes = p->scheme->new_classes;
    if (!classes) {
        return MT_OK;
    }
    mt_op_plan_t *head = &p->plan->ops[p->n - 1];
    if (p->scheme->loss == MT_LOSS_NONE || !(head->flags & MT_F_LOGITS)) {
        return mt_fail(p->error, MT_ERR_HEAD, (int32_t)p->n - 1, MT_LINEAR, p->m->ops[p->n - 1].kind);
    }
    uint32_t most = MAX_NEW_WEIGHTS / mt_tensor_size(&p->m->tensors[p->m->ops[p->n - 1].input[0]]);
    most = most > 65535 ? 65535 : most;
    if (classes > most) {
        return mt_fail(p->error, MT_ERR_VALUE, (int32_t)p->n - 1, most, classes);
    }
    head->flags |= MT_F_NEW;
    p->classes = classes;
    return MT_OK;
}

static int copy_channel_list(planner_t *p, uint32_t index, const mt_layer_scheme_t *layer, uint32_t in_c) {
    mt_op_plan_t *op = &p->plan->ops[index];
    op->list = p->plan->list_count;
    for (uint32_t i = 0; i < layer->channels; i++) {
        if (layer->list[i] >= in_c || (i && layer->list[i] <= layer->list[i - 1])) {
            return mt_fail(p->error, MT_ERR_SCHEME, (int32_t)index, in_c, layer->list[i]);
        }
        p->plan->lists[p->plan->list_count++] = layer->list[i];
    }
    return MT_OK;
}

static int read_scheme(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        mt_op_plan_t *op = &p->plan->ops[i];
        const mt_layer_scheme_t none = {0}, *layer = p->scheme->layers ? &p->scheme->layers[i] : &none;
        uint8_t kind = p->m->ops[i].kind;
        bool trained = layer->bias || layer->channels;
        if (trained && (p->scheme->loss == MT_LOSS_NONE || (kind != MT_CONV2D && kind != MT_DEPTHWISE_CONV2D && kind != MT_LINEAR))) {
            return mt_fail(p->error, MT_ERR_SCHEME, (int32_t)i, MT_LINEAR, kind);
        }
        mt_window_t w = mt_operand_window(p->m, i, op, p->classes);
        if (layer->channels > (uint32_t)w.in_c || layer->channels > 65535) {
            return mt_fail(p->error, MT_ERR_SCHEME, (int32_t)i, (uint32_t)w.in_c, layer->channels);
        }
        if (op->flags & MT_F_NEW && (layer->channels != (uint32_t)w.in_c || !layer->bias)) {
            return mt_fail(p->error, MT_ERR_SCHEME, (int32_t)i, (uint32_t)w.in_c, layer->channels); // nothing in the image to fall back on
        }
        op->channels = (uint16_t)layer->channels;
        op->flags |= layer->bias ? MT_F_BIAS : 0;
        op->flags |= (uint16_t)(p->scheme->momentum_bits / 8 << MT_F_VELOCITY_SHIFT);
        bool wide = p->scheme->wide == MT_WIDE_ALL || (p->scheme->wide == MT_WIDE_HEAD && op->flags & MT_F_LOGITS);
        op->flags |= wide && layer->channels ? MT_F_WIDE : 0;
        if (layer->channels && layer->channels < (uint32_t)w.in_c) {
            op->flags |= MT_F_COMPACT;
            int code = layer->list ? copy_channel_list(p, i, layer, (uint32_t)w.in_c) : MT_OK;
            if (code) {
                return code;
            }
        }
        // weight gradient: every output pixel adds |q| times |x - zero| <= 255
        uint32_t pixels = (uint32_t)(w.out_h * w.out_w), most = INT32_MAX / ((uint32_t)mt_gradient_max(p->plan->gradient_bits) * 255);
        if (trained && pixels > most) {
            return mt_fail(p->error, MT_ERR_LIMIT, (int32_t)i, pixels, most);
        }
    }
    return MT_OK;
}

// Marks the operators that a gradient must reach: trained ones, and those on the way down to one.
static int mark_gradients(planner_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const mt_op_t *op = &p->m->ops[i];
        mt_op_plan_t *plan = &p->plan->ops[i];
        bool below = false;
        for (uint32_t k = 0; k < mt_input_count(op); k++) {
            uint16_t producer = mt_root_of(p, op->input[k])->producer;
            if (producer != MT_NO_TENSOR && p->plan->ops[producer].flags & MT_F_GRAD) {
                plan->flags |= (uint16_t)(MT_F_GRAD_IN0 << k);
                below = true;
            }
        }
        if (below || plan->channels || plan->flags & MT_F_BIAS) {
            plan->flags |= MT_F_GRAD;
        }
        if (!below) {
            continue;
        }
        mt_window_t w = mt_operand_window(p->m, i, plan, p->classes);
        uint32_t terms = 0, most = 520u << 8;
        if (op->kind == MT_CONV2D || op->kind == MT_LINEAR) {
            terms = mt_conv2d_backward_terms(&w);
        } else if (op->kind == MT_DEPTHWISE_CONV2D) {
            terms = (uint32_t)(w.kernel_h * w.kernel_w); // of |q| times |w| <= 127
            most = INT32_MAX / ((uint32_t)mt_gradient_max(p->plan->gradient_bits) * 127);
        } else if (op->kind == MT_AVERAGE_POOL) {
            terms = mt_pool_backward_terms(&w);
            most = 256u >> (p->plan->gradient_bits - 8);
        } else if (op->kind == MT_MAX_POOL) {
            terms = (uint32_t)(w.kernel_h * w.kernel_w); // window positions fit a byte
            most = 256;
        } else if (op->kind == MT_SOFTMAX) {
            return mt_fail(p->error, MT_ERR_SCHEME, (int32_t)i, MT_LINEAR, op->kind);
        }
        if (terms > most) {
            return mt_fail(p->error, MT_ERR_LIMIT, (int32_t)i, terms, most);
        }
    }
    return MT_OK;
}

int mt_plan_scheme(planner_t *p) {
    find_end(p);
    p->plan->run_count = p->n;
    int code = set_new_head(p);
    code = code ? code : read_scheme(p);
    return code ? code : mark_gradients(p);
}
