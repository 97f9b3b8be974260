# Arm's MPS2 board with the image AN505: Cortex-M33 with DSP and FPU at 20 MHz, 4 + 4 + 16 MB of RAM.
# Floats are passed in FPU registers, as native modules for armv7emsp do.
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an505

CFLAGS += -mthumb -mcpu=cortex-m33 -mfloat-abi=hard
CFLAGS += -DMICROPY_HW_MCU_NAME='"Cortex-M33"'
# The addresses by which secure code reaches the devices.
CFLAGS += -DBOARD_UART=0x50200000 -DBOARD_UART_RX_IRQ=32 -DBOARD_TIMER=0x50000000 -DBOARD_TIMER_HZ=20000000
MPY_CROSS_FLAGS += -march=armv7emsp

SRC_C += $(addprefix boards/qemu/, arm.c semihosting.c) shared/runtime/gchelper_generic.c

include $(BOARD_DIR)/../qemu/board.mk
