// Whether an address lies in PSRAM.
#pragma once
#include <stdbool.h>
bool esp_ptr_external_ram(const void *p);
