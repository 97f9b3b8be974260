// Raspberry Pi Pico 2 with microtrain.
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico2 with microtrain"

// The 4 MB of flash: 1 MB program, 2 MB ROMFS for models that are read in place, 1 MB files.
#define MICROPY_HW_ROMFS_BYTES (2048 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES (1024 * 1024)
