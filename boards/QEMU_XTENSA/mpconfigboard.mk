# The Avnet LX60 board in QEMU with the core de233_fpu: an Xtensa LX processor of the ESP32's kind,
# with its windowed ABI. It is not an ESP32: none of that chip's devices, no ESP-IDF.
QEMU_ARCH = xtensa
QEMU_MACHINE = lx60

XTENSA ?= $(USER_C_MODULES)/build/xtensa
CROSS_COMPILE = $(XTENSA)/bin/xtensa-esp32-elf-
CFLAGS += -DMICROPY_HW_MCU_NAME='"de233_fpu"'
LDFLAGS += -nostdlib
LIBS = $(XTENSA)/setjmp.o $(XTENSA)/libgcc/libgcc.a
CFLAGS += -DMT_MAC16=1
CFLAGS += -DBOARD_UART=0xfd050020 -DBOARD_UART_STEP=4
MPY_CROSS_FLAGS += -march=xtensawin

SRC_BOARD_O += boards/QEMU_XTENSA/start.o
SRC_C += boards/QEMU_XTENSA/xtensa.c boards/qemu/uart_16550.c

include $(BOARD_DIR)/../qemu/board.mk
