// ESP32-S3 with microtrain.
#define MICROPY_HW_BOARD_NAME "ESP32-S3 with microtrain"
#define MICROPY_HW_MCU_NAME "ESP32S3"

// /rom is the partition "romfs" of partitions.csv, read in place.
#define MICROPY_VFS_ROM (1)

#define MICROPY_PY_BLUETOOTH (0)

// A REPL on UART0 too, for modules whose USB connector is a serial converter.
#define MICROPY_HW_ENABLE_UART_REPL (1)

// The port's own board names these pins for I2C(0).
#define MICROPY_HW_I2C0_SCL (9)
#define MICROPY_HW_I2C0_SDA (8)
