# ESP32-C3 (one RISC-V core, rv32imc, 400 KB RAM) with 4 MB of flash. Bluetooth is left out as on ESP32_GENERIC.
set(IDF_TARGET esp32c3)
set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/ESP32_GENERIC_C3/sdkconfig.c3usb
)
include(${MICROPY_BOARD_DIR}/../esp32.cmake)
microtrain_partitions(${MICROPY_BOARD_DIR}/partitions.csv)
