# What the ESP32 boards share: included by their mpconfigboard.cmake before the port reads SDKCONFIG_DEFAULTS.

# The port knows a partition table by its name in the port's own folder, or by an absolute path.
function(microtrain_partitions CSV)
    set(fragment ${CMAKE_BINARY_DIR}/sdkconfig.partitions)
    file(WRITE ${fragment} "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${CSV}\"\n")
    set(SDKCONFIG_DEFAULTS ${SDKCONFIG_DEFAULTS} ${fragment} PARENT_SCOPE)
endfunction()

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
