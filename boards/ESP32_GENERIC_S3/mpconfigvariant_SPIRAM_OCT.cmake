# ESP32-S3 modules with octal PSRAM (N8R8, N16R8).
list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.spiram_oct)
