# Arm's MPS2 board with the image AN385: Cortex-M3 at 25 MHz, 4 + 4 + 16 MB of RAM.
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an385

CFLAGS += -mthumb -mcpu=cortex-m3 -mfloat-abi=soft
CFLAGS += -DMICROPY_HW_MCU_NAME='"Cortex-M3"'
CFLAGS += -DBOARD_UART=0x40004000 -DBOARD_UART_RX_IRQ=0 -DBOARD_TIMER=0x40000000 -DBOARD_TIMER_HZ=25000000
MPY_CROSS_FLAGS += -march=armv7m

SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
SRC_C += $(addprefix boards/qemu/, arm.c semihosting.c)

include $(BOARD_DIR)/../qemu/board.mk
