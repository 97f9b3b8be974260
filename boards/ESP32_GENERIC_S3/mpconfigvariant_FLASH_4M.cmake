# ESP32-S3 modules with 4 MB of flash.
list(APPEND SDKCONFIG_DEFAULTS boards/ESP32_GENERIC_S3/sdkconfig.flash_4m)
microtrain_partitions(${MICROPY_BOARD_DIR}/../ESP32_GENERIC/partitions.csv)
