# What the boards in QEMU share: included by each mpconfigboard.mk, from MicroPython's qemu port.
# USER_C_MODULES is the repository's root, where the paths below begin.

QEMU_BOARDS := $(USER_C_MODULES)/boards/qemu
FROZEN_MANIFEST ?= $(BOARD_DIR)/manifest.py
MICROPY_HEAP_SIZE ?= 2097152
MICROPY_VFS_LFS2 = 1

# Before the port's own folder: mpconfigport.h and mphalport.h are ours.
INC += -I$(QEMU_BOARDS) -I$(USER_C_MODULES)
QSTR_GLOBAL_DEPENDENCIES += $(QEMU_BOARDS)/mpconfigport.h
LDSCRIPT = $(QEMU_BOARDS)/sections.ld
LDFLAGS += -L$(BOARD_DIR)

SRC_C += $(addprefix boards/qemu/, main.c console.c flash.c)

# What the port does in its own way is given another name, and the linker drops it; its uart.c is
# empty for a machine that it does not know.
$(BUILD)/main.o: CFLAGS += -Dmain=port_main -Dgc_collect=port_gc_collect -Dnlr_jump_fail=port_nlr_jump_fail
$(BUILD)/mphalport.o: CFLAGS += \
	-Dmp_hal_stdio_poll=port_stdio_poll \
	-Dmp_hal_stdin_rx_chr=port_stdin_rx_chr \
	-Dmp_hal_stdout_tx_strn=port_stdout_tx_strn
