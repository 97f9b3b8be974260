// Raspberry Pi Pico with microtrain.
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico with microtrain"

// The 2 MB of flash: 512 KB program, 1 MB ROMFS for models that are read in place, 512 KB files.
#define MICROPY_HW_ROMFS_BYTES (1024 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES (512 * 1024)
