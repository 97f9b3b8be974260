# Included by the ports that build with make (unix, qemu, ...). Give USER_C_MODULES the repository's
# root: MicroPython looks one level below it.
MICROTRAIN_DIR := $(USERMOD_DIR)

MICROTRAIN_CORE := $(wildcard \
	$(MICROTRAIN_DIR)/core/*.c \
	$(MICROTRAIN_DIR)/core/ops/*.c \
	$(MICROTRAIN_DIR)/core/arch/*/*.c \
	$(MICROTRAIN_DIR)/link/*.c)

SRC_USERMOD_LIB_C += $(MICROTRAIN_CORE)
SRC_USERMOD_C += $(wildcard $(MICROTRAIN_DIR)/bind/*.c)
CFLAGS_USERMOD += -I$(MICROTRAIN_DIR)/core

# The engine is compiled for speed whatever the port's own choice. Floating point in the same steps
# on every target: never contracted into fused multiply-adds.
$(patsubst $(USER_C_MODULES)/%.c,$(BUILD)/%.o,$(MICROTRAIN_CORE)): \
	CFLAGS += -O3 -std=c99 -ffp-contract=off
