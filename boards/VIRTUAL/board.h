// The parts of the virtual board.
#ifndef MICROTRAIN_BOARDS_VIRTUAL_BOARD_H
#define MICROTRAIN_BOARDS_VIRTUAL_BOARD_H

#include <stddef.h>

// Opens the serial line, a pty. Returns the path of the host's end, which stays valid; NULL with
// errno set on failure.
const char *board_serial_open(void);

// Starts to read the serial line, and to watch standard input, whose end powers the board off.
// Returns -1 with errno set on failure. Call once, from the thread that runs MicroPython.
int board_serial_start(void);

// Sets the folder that is the board's file system. Returns its absolute path, which stays valid;
// NULL with errno set on failure.
const char *board_files_open(const char *folder);

// Changes to the board's root folder.
void board_files_enter_root(void);

// Maps `file` as the flash that holds ROMFS, creating it with `size` bytes if need be.
// Returns 0, or -1 with errno set.
int board_rom_open(const char *file, size_t size);

#endif // MICROTRAIN_BOARDS_VIRTUAL_BOARD_H
