// Included by extmod/modmachine.c.

#include "boards/qemu/board.h"

static void mp_machine_idle(void) {
    mp_event_handle_nowait();
}

static void mp_machine_reset(void) {
    board_reset();
}

// What started the machine is not recorded.
static mp_int_t mp_machine_reset_cause(void) {
    return 0;
}
