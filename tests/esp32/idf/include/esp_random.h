// The random number generator that MicroPython is seeded from.
#pragma once
#include <stdint.h>
uint32_t esp_random(void);
