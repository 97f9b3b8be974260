// The parts of a board in QEMU.
#ifndef MICROTRAIN_BOARDS_QEMU_BOARD_H
#define MICROTRAIN_BOARDS_QEMU_BOARD_H

#include <stddef.h>
#include <stdint.h>

// --- what each processor gives: arm.c, rv32.c, xtensa.c ---

// A received character, -1 if there is none.
int board_uart_rx(void);
void board_uart_tx(const char *data, size_t len);
// Sleeps until a character comes, if none has; may return before.
void board_wait_for_rx(void);
// Instructions since the machine's start, as far as the processor's counter resolves them, where
// QEMU runs with `-icount shift=0`: there one instruction is one nanosecond. Else nanoseconds.
uint64_t board_instructions(void);
// Nanoseconds of QEMU's clock since the machine's start.
uint64_t board_nanoseconds(void);
// Starts over as after power-on.
void board_reset(void) __attribute__((noreturn));

// --- files of the machine that runs QEMU: semihosting.c, xtensa.c ---

// Opens a file, creating it if need be. Returns a handle, -1 on failure.
int host_open(const char *path);
// Reads or writes `len` bytes at `pos`. Return the bytes done, which are fewer at the end of the
// file, or -1.
int host_read(int file, uint32_t pos, void *data, size_t len);
int host_write(int file, uint32_t pos, const void *data, size_t len);
// Ends QEMU.
void host_exit(int status) __attribute__((noreturn));

// --- console.c ---

// Takes what has arrived, so that Ctrl-C is noticed.
void board_poll(void);

// --- flash.c ---

// Reads the flash chip's content. Returns -1 if its file cannot be opened.
int flash_init(void);

#endif // MICROTRAIN_BOARDS_QEMU_BOARD_H
