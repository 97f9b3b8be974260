// What the core of MicroPython asks of a QEMU board besides functions.

#include <stddef.h>
#include "shared/runtime/interrupt_char.h"
