// The second core of the RP2040 and the RP2350, for halves of operators. It runs within a forward or a backward pass and is in its boot ROM at
// all other times: while Python runs or the flash is written core 1 is as MicroPython and `_thread` expect it, and needs no lockout.
#include "py/mpthread.h"
#include "py/runtime.h"

#include "hardware/irq.h"
#include "hardware/structs/psm.h"
#include "pico/multicore.h"

#include "../../usermod_c/bind/cores.h"

#define ANSWER_US 2000 // core 1 answers within microseconds of its reset, where there is one

static struct {
    mt_half_t half; // NULL: none
    void *argument;
} volatile job;
static bool awake; // core 1 is in work()

// In RAM: core 1 does not take the flash's bus while it waits.
static void __not_in_flash_func(work)(void) {
    for (;;) {
        while (!job.half) {
            __wfe();
        }
        __dmb();
        job.half(job.argument);
        __dmb();
        job.half = NULL;
        __sev();
    }
}

// Resets core 1, as multicore_reset_core1() does, which waits for its answer for ever. An emulator of one core gives none.
static bool answers(void) {
    const uint fifo = SIO_FIFO_IRQ_NUM(0);
    const bool enabled = irq_is_enabled(fifo);
    uint32_t word = 1;
    irq_set_enabled(fifo, false);
    hw_set_bits(&psm_hw->frce_off, PSM_FRCE_OFF_PROC1_BITS);
    for (int i = 0; i < 8 && multicore_fifo_rvalid(); i++) { // what it said before
        word = sio_hw->fifo_rd;
    }
    hw_clear_bits(&psm_hw->frce_off, PSM_FRCE_OFF_PROC1_BITS);
    bool found = multicore_fifo_pop_timeout_us(ANSWER_US, &word) && word == 0;
    irq_set_enabled(fifo, enabled);
    return found;
}

void board_claim_core(void) {
    if (core1_entry) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("cores 2: core 1 is taken by _thread: end its thread, or use cores=1"));
    }
    if (!answers()) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("cores 2: core 1 does not answer: use cores=1"));
    }
    multicore_reset_core1(); // forgets that a thread of before could be locked out
}

void board_split(void *stack, mt_half_t half, void *first, void *second) {
    if (core1_entry) { // a thread that was started since
        half(first);
        half(second);
        return;
    }
    if (!awake) {
        multicore_reset_core1();
        multicore_launch_core1_with_stack(work, stack, MT_STACK_BYTES);
        awake = true;
    }
    job.argument = second;
    __dmb();
    job.half = half;
    __dmb();
    __sev();
    half(first);
    while (job.half) {
        __wfe();
    }
    __dmb();
}

void board_rest_core(void) {
    if (awake) {
        multicore_reset_core1();
        awake = false;
    }
}
