// Configuration of the virtual board: what a Raspberry Pi Pico's firmware has, on a process.

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

// Single precision, as on every board we support: Python code computes the same numbers here.
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

#define MICROPY_PY_SYS_PLATFORM "linux"
#define MICROPY_BANNER_MACHINE "microtrain virtual board"

// Bytes of a raw-paste window times two. Boards say 256; a pty has no small hardware buffer.
#define MICROPY_REPL_STDIN_BUFFER_MAX (16384)

#include "variants/mpconfigvariant_common.h"

// Ctrl-C is noticed where the VM polls for it, never inside C code such as a training step.
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)

// A board's REPL history is short, and nothing of it survives a reset.
#undef MICROPY_READLINE_HISTORY_SIZE
#define MICROPY_READLINE_HISTORY_SIZE (8)

#define MICROPY_VFS_FAT 1

// What the serial line has received, without waiting; at most so many ms until there is something; and how much is taken at a time
// (usermod_c/bind/link.c).
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
size_t board_stdin_read(uint8_t *to, size_t n);
#define MICROTRAIN_STDIN_READ board_stdin_read
bool board_stdin_wait(int ms);
#define MICROTRAIN_STDIN_WAIT board_stdin_wait
#define MICROTRAIN_LINK_RAW (1 << 12)

// A file, mapped into memory, stands for the flash that holds ROMFS.
#undef MICROPY_VFS_ROM_IOCTL
#define MICROPY_VFS_ROM_IOCTL (1)
