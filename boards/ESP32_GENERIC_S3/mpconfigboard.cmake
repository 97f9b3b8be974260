# ESP32-S3 (two Xtensa LX7 cores, 512 KB RAM) with 8 MB of flash, quad PSRAM used where found. Bluetooth is left out as on ESP32_GENERIC.
set(IDF_TARGET esp32s3)
set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/sdkconfig.usb
    boards/sdkconfig.spiram_sx
    boards/sdkconfig.240mhz
    boards/ESP32_GENERIC_S3/sdkconfig.board
)
include(${MICROPY_BOARD_DIR}/../esp32.cmake)
microtrain_partitions(${MICROPY_BOARD_DIR}/partitions.csv)
