// sys.stdin, sys.stdout and sys.stderr as boards have them, over the serial line.

#include "py/mphal.h"

// The unix port defines this name away.
#undef mp_hal_stdio_poll
#define mp_hal_stdio_poll board_stdio_poll
uintptr_t board_stdio_poll(uintptr_t poll_flags);

#include "shared/runtime/sys_stdio_mphal.c"
