// What the chips have, as far as the port's mpconfigport.h asks.
#pragma once
#include "sdkconfig.h"

#define SOC_I2S_SUPPORTED 1
#if CONFIG_IDF_TARGET_ESP32
#define SOC_DAC_SUPPORTED 1
#elif CONFIG_IDF_TARGET_ESP32S3
#define SOC_USB_OTG_SUPPORTED 1
#define SOC_USB_SERIAL_JTAG_SUPPORTED 1
#elif CONFIG_IDF_TARGET_ESP32C3
#define SOC_USB_SERIAL_JTAG_SUPPORTED 1
#endif
