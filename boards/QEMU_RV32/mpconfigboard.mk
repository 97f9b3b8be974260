# QEMU's RISC-V machine "virt" with the instruction set of an ESP32-C3: rv32imc, no atomics, no FPU.
QEMU_ARCH = riscv32
QEMU_MACHINE = virt

# GCC 12 of Debian would choose its 64-bit library for what newer specifications call rv32imc_zicsr.
RV32_ARCH = rv32imc -misa-spec=2.2
CFLAGS += -DMICROPY_HW_MCU_NAME='"rv32imc"'
CFLAGS += -DBOARD_UART=0x10000000 -DBOARD_UART_STEP=1
MPY_CROSS_FLAGS += -march=rv32imc

SRC_BOARD_O += shared/runtime/gchelper_native.o shared/runtime/gchelper_rv32i.o
SRC_C += $(addprefix boards/qemu/, rv32.c uart_16550.c semihosting.c)

include $(BOARD_DIR)/../qemu/board.mk
