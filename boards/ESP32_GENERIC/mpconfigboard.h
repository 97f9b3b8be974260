// ESP32 with microtrain.
#define MICROPY_HW_BOARD_NAME "ESP32 with microtrain"
#define MICROPY_HW_MCU_NAME "ESP32"

// /rom is the partition "romfs" of partitions.csv, read in place.
#define MICROPY_VFS_ROM (1)

#define MICROPY_PY_BLUETOOTH (0)
