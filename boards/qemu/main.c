// Start-up and REPL loop, the same as a board's: file system, boot.py, main.py, REPL, and a soft
// reset that frees the whole heap and starts over.

#include "py/builtin.h"
#include "py/gc.h"
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"

#include "../run_until_reset.h"
#include "board.h"

// From the linker script.
extern char _sstack[], _estack[];

// Bytes left for the frames of C functions that do not check.
#define STACK_MARGIN (2048)

static char heap[MICROPY_HEAP_SIZE] __attribute__((section(".gc_heap"), aligned(16)));

int main(void) {
    mp_stack_set_top(_estack);
    mp_stack_set_limit(_estack - _sstack - STACK_MARGIN);
    if (flash_init() != 0) {
        mp_hal_stdout_tx_str("cannot open the flash image\r\n");
        host_exit(1);
    }
    for (;;) {
        gc_init(heap, heap + sizeof(heap));
        mp_init();
        mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__slash_lib));
        readline_init0();
        pyexec_frozen_module("_boot.py", false);
        run_until_reset();
        mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *val) {
    (void)val;
    mp_hal_stdout_tx_str("uncaught exception outside of Python\r\n");
    host_exit(1);
}
