# ESP32 (two Xtensa LX6 cores, 520 KB RAM) with 4 MB of flash. Bluetooth is left out: its controller holds RAM whether it is used or not.
set(IDF_TARGET esp32)
set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/sdkconfig.240mhz
)
include(${MICROPY_BOARD_DIR}/../esp32.cmake)
microtrain_partitions(${MICROPY_BOARD_DIR}/partitions.csv)
