// Configuration of the QEMU boards: MicroPython's qemu port with what a board has besides: files,
// ROMFS, time, Ctrl-C.

#include "ports/qemu/mpconfigport.h"

#undef MICROPY_PY_SYS_STDIO_BUFFER
#undef MICROPY_PY_SELECT
#undef MICROPY_PY_TIME
#undef MICROPY_PY_ASYNCIO
#undef MICROPY_PY_MACHINE_INCLUDEFILE
#undef MICROPY_VFS_ROM_IOCTL

#define MICROPY_PY_SYS_STDIO_BUFFER (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "boards/qemu/modmachine.c"
#define MICROPY_VFS_ROM_IOCTL (1)

#if defined(__XTENSA__)
#define MICROPY_EMIT_XTENSAWIN (1)
#define MICROPY_NLR_SETJMP (1)
#undef UINT_FMT
#undef INT_FMT
#define UINT_FMT "%u"
#define INT_FMT "%d"
#endif

// Ctrl-C is looked for where the VM jumps back, now and then (to read a register of an emulated
// device takes long), and wherever code waits.
void board_poll(void);
#define VM_JUMPS_A_POLL (64)
#define MICROPY_VM_HOOK_INIT static unsigned vm_jumps_left = VM_JUMPS_A_POLL;
#define MICROPY_VM_HOOK_LOOP \
    if (--vm_jumps_left == 0) { \
        vm_jumps_left = VM_JUMPS_A_POLL; \
        board_poll(); \
    }
#define MICROPY_INTERNAL_EVENT_HOOK board_poll()
