// ESP32-C3 with microtrain.
#define MICROPY_HW_BOARD_NAME "ESP32-C3 with microtrain"
#define MICROPY_HW_MCU_NAME "ESP32C3"

// /rom is the partition "romfs" of partitions.csv, read in place.
#define MICROPY_VFS_ROM (1)

#define MICROPY_PY_BLUETOOTH (0)

// A REPL on UART0 too, for modules whose USB connector is a serial converter.
#define MICROPY_HW_ENABLE_UART_REPL (1)
