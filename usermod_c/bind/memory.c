// Where a session lies: in memory of the caller, or on the heap, in one piece or in several.
#include "modmicrotrain.h"

#include "py/runtime.h"

#ifdef ESP_PLATFORM
#include "esp_memory_utils.h"
#endif

#define PROBE_BYTES 64 // how closely the heap's largest piece is found

// The heap of an ESP32 may lie in PSRAM, an order of magnitude slower than the chip's own RAM: that must be asked for.
static void refuse_slow(const void *piece, uint32_t bytes) {
    #ifdef ESP_PLATFORM
    if (esp_ptr_external_ram(piece)) {
        mp_raise_msg_varg(&mp_type_MemoryError,
            MP_ERROR_TEXT("the heap's free memory is PSRAM, which is slow: to train there all the same, pass memory=bytearray(%u)"), (unsigned)bytes);
    }
    #else
    (void)piece;
    (void)bytes;
    #endif
}

// The largest piece that the heap has, of at most `*bytes`.
static void *take_largest(uint32_t *bytes) {
    uint32_t low = 0, high = *bytes;
    void *piece = m_new_maybe(uint8_t, high);
    while (!piece && high - low > PROBE_BYTES) {
        uint32_t middle = (low + high) / 2 / MT_ALIGN * MT_ALIGN;
        void *probe = m_new_maybe(uint8_t, middle);
        if (probe) {
            m_del(uint8_t, probe, middle);
            low = middle;
        } else {
            high = middle;
        }
    }
    *bytes = piece ? high : low;
    return piece ? piece : m_new_maybe(uint8_t, low);
}

// Finds heap for the block and, apart from it, the arena: in the fewest pieces that hold it. Returns the block.
static void *take_pieces(plan_obj_t *plan) {
    const mt_plan_info_t *info = &plan->plan.info;
    const mt_model_t *m = &plan->model->model;
    uint32_t need = info->arena_bytes, rest = info->total_bytes - need, free = 0;
    mt_region_t regions[MT_REGIONS] = {0};
    mt_error_t error = {0};
    void *block = m_new_maybe(uint8_t, rest);
    for (size_t count = 0; block && count < MT_REGIONS; count++) {
        regions[count].bytes = (need + MT_ALIGN - 1) / MT_ALIGN * MT_ALIGN;
        regions[count].data = take_largest(&regions[count].bytes);
        free += regions[count].bytes;
        m_del(uint8_t, block, rest); // planning needs memory too, and ends before the block does
        int code = regions[count].data ? microtrain_replan(plan, regions, count + 1, &error) : MT_ERR_MEMORY;
        block = m_new_maybe(uint8_t, rest);
        if (block && !code) {
            for (size_t k = 0; k <= count; k++) { // give back what is not used
                refuse_slow(regions[k].data, rest + need);
                (void)m_renew_maybe(uint8_t, regions[k].data, regions[k].bytes, plan->plan.regions[k].bytes, false);
            }
            return block;
        }
    }
    mp_raise_msg_varg(&mp_type_MemoryError,
        MP_ERROR_TEXT("arena too small: training needs %u B, of them %u B for the arena (most in %s %s), the heap's %u largest pieces have %u B for that; try scheme=\"bias\" or \"last\""),
        (unsigned)(rest + need), (unsigned)need, mt_op_name(m, info->peak_op), info->peak_backward ? "backward" : "forward", MT_REGIONS, (unsigned)free);
}

static void replan(plan_obj_t *plan, const mt_region_t *regions, size_t count) {
    mt_error_t error = {0};
    if (microtrain_replan(plan, regions, count, &error)) {
        microtrain_raise(&plan->model->model, &error);
    }
}

// Buffers from the caller: the first for the block, the others for the arena. Returns the first.
static mp_buffer_info_t use_pieces(plan_obj_t *plan, size_t n, const mp_obj_t *memory) {
    mt_region_t regions[MT_REGIONS];
    mp_buffer_info_t block, piece;
    if (n < 2 || n > 1 + MT_REGIONS) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("memory: 2 to %u buffers needed, the first for the trained state"), 1 + MT_REGIONS);
    }
    mp_get_buffer_raise(memory[0], &block, MP_BUFFER_RW);
    for (size_t k = 0; k + 1 < n; k++) {
        mp_get_buffer_raise(memory[k + 1], &piece, MP_BUFFER_RW);
        regions[k] = (mt_region_t) {piece.buf, piece.len};
    }
    replan(plan, regions, n - 1);
    return block;
}

mp_buffer_info_t microtrain_memory(plan_obj_t *plan, mp_obj_t memory) {
    mp_buffer_info_t block = {0};
    if (plan->plan.region_count) { // those of an earlier session
        replan(plan, NULL, 0);
    }
    if (mp_obj_is_type(memory, &mp_type_tuple)) {
        size_t n;
        mp_obj_t *items;
        mp_obj_get_array(memory, &n, &items);
        block = use_pieces(plan, n, items);
    } else if (memory != mp_const_none) {
        mp_get_buffer_raise(memory, &block, MP_BUFFER_RW);
    } else {
        block.buf = m_new_maybe(uint8_t, plan->plan.info.total_bytes);
        block.buf = block.buf ? block.buf : take_pieces(plan);
        refuse_slow(block.buf, plan->plan.info.total_bytes);
        block.len = plan->plan.info.total_bytes;
    }
    return block;
}
