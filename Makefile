# What a person can do in this repository. Every target sets up what it needs.

BUILD := build
VENV := .venv
PY := $(VENV)/bin/python
MICROPYTHON := $(abspath $(BUILD))/src/micropython
MPY_CROSS := $(abspath $(BUILD))/mpy-cross/mpy-cross

include boards/versions.env

# Reference data, which tests and benchmarks may use; not part of the repository.
SHARED := $(or $(MICROTRAIN_SHARED),../shared)

# One thread for numpy and friends: the machine is shared with the boards.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@echo "make targets:"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort | \
		awk -F '\t' '{ printf "  %-16s %s\n", $$1, $$2 }'

# --- set-up -------------------------------------------------------------------------------------

PYTHON_READY := $(VENV)/.ready
MICROPYTHON_READY := $(BUILD)/src/.ready

$(PYTHON_READY): host/pyproject.toml boards/versions.env boards/setup.sh
	@boards/setup.sh python
	@touch $@

$(MICROPYTHON_READY): boards/versions.env boards/setup.sh
	@boards/setup.sh micropython
	@touch $@

$(MPY_CROSS): $(MICROPYTHON_READY)
	$(call quietly,mpy-cross) $(MAKE) --no-print-directory -s -C $(MICROPYTHON)/mpy-cross \
		BUILD=$(abspath $(BUILD))/mpy-cross
	@touch $@

.PHONY: setup
setup: $(PYTHON_READY) $(MPY_CROSS) ## Python environment, MicroPython sources, mpy-cross

# --- the virtual board --------------------------------------------------------------------------

# Without these MicroPython would take its version from this repository's git history.
MPY_ENV := MICROPY_GIT_TAG=v$(MICROPYTHON_VERSION) MICROPY_GIT_HASH=
VIRTUAL_MAKE = $(MPY_ENV) $(MAKE) --no-print-directory -s -C $(MICROPYTHON)/ports/unix \
	VARIANT_DIR=$(CURDIR)/boards/VIRTUAL USER_C_MODULES=$(CURDIR) MICROPY_MPYCROSS=$(MPY_CROSS)
# Runs the command that follows with its output in the named log, shown only if it fails.
quietly = @mkdir -p $(BUILD); log=$(BUILD)/$(1).log; \
	echo "building $(1) (log: $$log)"; run() { "$$@" >$$log 2>&1 || { tail -n 40 $$log; exit 1; }; }; run

.PHONY: virtual virtual32
virtual: $(MPY_CROSS) ## the virtual board, build/virtual/micropython
	$(call quietly,virtual) env $(VIRTUAL_MAKE) BUILD=$(abspath $(BUILD))/virtual

virtual32: $(MPY_CROSS) ## the virtual board as a 32-bit program, build/virtual32/micropython
	@boards/setup.sh multilib
	$(call quietly,virtual32) env $(VIRTUAL_MAKE) BUILD=$(abspath $(BUILD))/virtual32 \
		MICROPY_FORCE_32BIT=1 CFLAGS_EXTRA="-msse2 -mfpmath=sse"

# --- firmware for boards ------------------------------------------------------------------------

QEMU_BOARDS := QEMU_CORTEX_M3 QEMU_CORTEX_M33 QEMU_RV32 QEMU_XTENSA
BOARDS := RPI_PICO RPI_PICO2 $(QEMU_BOARDS)
BOARD ?= RPI_PICO
FIRMWARE := $(BUILD)/firmware/$(BOARD)
FIRMWARE_BUILD := $(abspath $(BUILD))/firmware-build/$(BOARD)
UF2_FAMILY_RPI_PICO := 0xe48bff56
UF2_FAMILY_RPI_PICO2 := 0xe48bff59

ESP32_BOARDS := $(notdir $(wildcard boards/ESP32_*))

.PHONY: firmware firmware-check
ifneq ($(filter $(BOARD),$(ESP32_BOARDS)),)
# With ESP-IDF; VARIANT= names one of the board's variants.
firmware:
	@boards/esp32.sh $(BOARD) $(VARIANT)
else
firmware: $(MPY_CROSS) ## the flashable image of BOARD, in build/firmware/BOARD
	@[ -n "$(filter $(BOARD),$(BOARDS))" ] || { echo "no board $(BOARD): there are $(BOARDS) $(ESP32_BOARDS)"; exit 1; }
ifneq ($(filter $(BOARD),$(QEMU_BOARDS)),)
	@boards/setup.sh $(if $(filter QEMU_XTENSA,$(BOARD)),xtensa,qemu)
	$(call quietly,firmware-$(BOARD)) sh -e -c ' \
		env $(MPY_ENV) $(MAKE) --no-print-directory -j2 -C $(MICROPYTHON)/ports/qemu \
			BOARD=$(BOARD) BOARD_DIR=$(CURDIR)/boards/$(BOARD) BUILD=$(FIRMWARE_BUILD) \
			USER_C_MODULES=$(CURDIR) MICROPY_MPYCROSS=$(MPY_CROSS); \
		mkdir -p $(FIRMWARE); cp $(FIRMWARE_BUILD)/firmware.elf $(FIRMWARE)'
else
	@boards/setup.sh rp2
	$(call quietly,firmware-$(BOARD)) sh -e -c ' \
		env $(MPY_ENV) PICO_SDK_PATH= cmake -S $(MICROPYTHON)/ports/rp2 -B $(FIRMWARE_BUILD) \
			-DMICROPY_BOARD=$(BOARD) -DMICROPY_BOARD_DIR=$(CURDIR)/boards/$(BOARD) \
			-DMICROPY_MPYCROSS_EXECUTABLE=$(MPY_CROSS) -DMICROPY_MPYCROSS_DEPENDENCY=$(MPY_CROSS) \
			-DUSER_C_MODULES=$(CURDIR)/usermod_c/micropython.cmake -DPICO_NO_PICOTOOL=1; \
		env $(MPY_ENV) $(MAKE) --no-print-directory -C $(FIRMWARE_BUILD); \
		mkdir -p $(FIRMWARE); cp $(addprefix $(FIRMWARE_BUILD)/firmware.,elf bin) $(FIRMWARE); \
		python3 $(MICROPYTHON)/tools/uf2conv.py -c -b 0x10000000 -f $(UF2_FAMILY_$(BOARD)) \
			-o $(FIRMWARE)/firmware.uf2 $(FIRMWARE)/firmware.bin'
endif
	@python3 boards/footprint.py $(BOARD) $(FIRMWARE_BUILD)/firmware.elf
endif

.PHONY: emulator
emulator: ## the RP2040 emulator for --port emu:rp2040, and the firmware it runs
	@boards/setup.sh emulator
	@$(MAKE) --no-print-directory firmware BOARD=RPI_PICO

.PHONY: qemu
qemu: $(QEMU_BOARDS:%=qemu-%) ## the firmware of all boards in QEMU, for --port qemu:...
$(QEMU_BOARDS:%=qemu-%): qemu-%: $(MPY_CROSS)
	@$(MAKE) --no-print-directory firmware BOARD=$*

firmware-check: firmware ## the flash and RAM use of BOARD against its budget
	@python3 boards/footprint.py $(BOARD) $(FIRMWARE_BUILD)/firmware.elf --check

# --- the engine as a native module --------------------------------------------------------------

NATMOD_ARCHS := armv6m armv7m armv7emsp rv32imc xtensawin x64
NATMOD_BUILD = $(abspath $(BUILD))/natmod-build/$(ARCH)

.PHONY: natmod
natmod: $(MPY_CROSS) $(PYTHON_READY) ## the engine as a native module for ARCH, in build/natmod/ARCH
	@[ -n "$(filter $(ARCH),$(NATMOD_ARCHS))" ] || { echo "no ARCH '$(ARCH)': there are $(NATMOD_ARCHS)"; exit 1; }
	@boards/setup.sh natmod $(ARCH)
	@mkdir -p $(NATMOD_BUILD)
	$(call quietly,natmod-$(ARCH)) env PATH="$(abspath $(BUILD))/xtensa/bin:$$PATH" $(MAKE) --no-print-directory \
		-C $(NATMOD_BUILD) -f $(CURDIR)/usermod_c/natmod/Makefile MPY_DIR=$(MICROPYTHON) ARCH=$(ARCH) \
		PYTHON=$(abspath $(PY)) MPY_CROSS=$(MPY_CROSS) NATMOD_CFLAGS="$(NATMOD_CFLAGS)"
	@$(PY) usermod_c/natmod/package.py $(NATMOD_BUILD)/_microtrain.mpy $(MPY_CROSS) $(BUILD)/natmod/$(ARCH)
	@echo "$(BUILD)/natmod/$(ARCH)/_microtrain.mpy: $$(wc -c <$(BUILD)/natmod/$(ARCH)/_microtrain.mpy) bytes"

STOCK := $(BUILD)/stock/micropython

# MicroPython's unix port as it comes, for tests of the native module.
$(STOCK): $(MPY_CROSS)
	$(call quietly,stock) env $(MPY_ENV) $(MAKE) --no-print-directory -s -C $(MICROPYTHON)/ports/unix \
		VARIANT=standard BUILD=$(abspath $(BUILD))/stock MICROPY_MPYCROSS=$(MPY_CROSS) FROZEN_MANIFEST= \
		MICROPY_PY_BTREE=0 MICROPY_PY_SSL=0 MICROPY_SSL_MBEDTLS=0

.PHONY: natmod-test
natmod-test: $(STOCK) ## what the tests of the native module need
	@for arch in $(NATMOD_ARCHS); do $(MAKE) --no-print-directory natmod ARCH=$$arch || exit 1; done

# --- the engine as a shared library -------------------------------------------------------------

ENGINE_SRC := $(sort $(wildcard \
	usermod_c/core/*.c usermod_c/core/ops/*.c usermod_c/core/arch/*/*.c usermod_c/link/*.c))
ENGINE_CFLAGS := -std=c99 -Wall -Wextra -Werror -Wpointer-arith -Wdouble-promotion \
	-Wfloat-conversion -ffp-contract=off -fPIC -DMT_CORES=2 -Iusermod_c/core
ENGINE := $(BUILD)/engine/libmicrotrain.so
ENGINE_ASAN := $(BUILD)/engine/libmicrotrain-asan.so
ENGINE_TSAN := $(BUILD)/engine/libmicrotrain-tsan.so

$(ENGINE): FLAGS := -O3 -DMT_SHA_NI=1
# All forms of the kernels that a processor may ask for.
ENGINE_FORMS := -DMT_PANELS=1 -DMT_PLANES=1 -DMT_ROWS=1 -DMT_DENSE=1 -DMT_VECTORS=1 -DMT_NESTED=1 -DMT_QUICK=4 -DMT_SHORT_MULTIPLY=1
$(ENGINE_ASAN): FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined $(ENGINE_FORMS) \
	-fno-sanitize-recover=all
$(ENGINE_TSAN): FLAGS := -O1 -g -fsanitize=thread $(ENGINE_FORMS)

define compile_engine
	@mkdir -p $(@D)
	@$(CC) $(ENGINE_CFLAGS) $(FLAGS) -MMD -MP -c -o $@ $<
endef

$(BUILD)/engine/fast/%.o: usermod_c/%.c Makefile
	$(compile_engine)

$(BUILD)/engine/asan/%.o: usermod_c/%.c Makefile
	$(compile_engine)

$(BUILD)/engine/tsan/%.o: usermod_c/%.c Makefile
	$(compile_engine)

$(ENGINE): $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/fast/%.o)
$(ENGINE_ASAN): $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/asan/%.o)
$(ENGINE_TSAN): $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/tsan/%.o)
$(ENGINE) $(ENGINE_ASAN) $(ENGINE_TSAN):
	@echo "linking $@"
	@$(CC) -shared $(FLAGS) -o $@.part $^ -lm
	@mv $@.part $@

-include $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/fast/%.d)
-include $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/asan/%.d)
-include $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/engine/tsan/%.d)

.PHONY: engine
engine: $(ENGINE) $(ENGINE_ASAN) $(ENGINE_TSAN) ## the C engine as a shared library, plain and with sanitizers

# --- fuzzing ------------------------------------------------------------------------------------

# A target is tests/fuzz/TARGET.c; its corpus is tests/fuzz/TARGET.tar.xz.
FUZZ_TARGETS := image checkpoint frame
FUZZ_SECONDS ?= 600
FUZZ_CFLAGS := -std=c99 -O2 -g -Wall -Wextra -Werror -ffp-contract=off -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-Iusermod_c/core -Iusermod_c/link -DMT_PANELS=1 -DMT_PLANES=1 -DMT_ROWS=1 -DMT_VECTORS=1 -DMT_SHORT_MULTIPLY=1
FUZZ_SANITIZE := address,undefined
FUZZERS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)

$(BUILD)/fuzz/clang:
	@boards/setup.sh fuzz
	@mkdir -p $(@D)
	@touch $@

$(BUILD)/fuzz/engine/%.o: usermod_c/%.c $(BUILD)/fuzz/clang Makefile
	@mkdir -p $(@D)
	@clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SANITIZE) $(FUZZ_COVERAGE) -MMD -MP -c -o $@ $<

# Comparisons are followed in what reads, not in the kernels, where that is most of the time.
FUZZ_COVERAGE := -fno-sanitize-coverage=trace-cmp
$(BUILD)/fuzz/engine/core/model.o $(BUILD)/fuzz/engine/core/checkpoint.o $(BUILD)/fuzz/engine/link/frame.o: FUZZ_COVERAGE :=
# An input's hash is checked, not read: its speed is that of the fuzzer.
$(BUILD)/fuzz/engine/core/sha256.o: FUZZ_SANITIZE := undefined

$(FUZZERS): $(BUILD)/fuzz/%: tests/fuzz/%.c $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/fuzz/engine/%.o) tests/fuzz/network.mtm
	@echo "linking $@"
	@clang $(FUZZ_CFLAGS) -DNETWORK='"$(CURDIR)/tests/fuzz/network.mtm"' -fsanitize=fuzzer,$(FUZZ_SANITIZE) $(FUZZ_COVERAGE) -o $@ $(filter %.c %.o,$^) -lm

-include $(ENGINE_SRC:usermod_c/%.c=$(BUILD)/fuzz/engine/%.d)

.PHONY: fuzzers fuzz
fuzzers: $(FUZZERS)
fuzz: fuzzers $(PYTHON_READY) ## fuzz every target for FUZZ_SECONDS (600) in all
	$(PY) tests/fuzz/fuzzers.py --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# --- what it is for -----------------------------------------------------------------------------

READY := $(PYTHON_READY) virtual

.PHONY: demo demo-images models
demo: $(READY) ## train on the virtual board: a watch learns a new person's exercises
	$(PY) tests/demo/personalise.py

demo-images: $(READY) ## train on the virtual board: 30 kinds of doodles never seen
	@boards/setup.sh npm
	$(PY) tests/demo/doodles.py

models: $(PYTHON_READY) ## model images of every network in ../shared/data, to build/models
	$(PY) -m microtrain.importers.batch $(SHARED)/data $(BUILD)/models

# --- tests --------------------------------------------------------------------------------------

.PHONY: test test-all lint
test: $(READY) engine virtual32 emulator qemu natmod-test fuzzers ## everything that CI needs to believe a change
	$(PY) -m pytest -c tests/pytest.ini -m "not slow" tests

test-all: $(READY) engine virtual32 emulator qemu natmod-test fuzzers ## the tests, slow ones too
	$(PY) -m pytest -c tests/pytest.ini tests

lint: $(PYTHON_READY) ## ruff and mypy
	$(VENV)/bin/ruff check --config host/pyproject.toml host tests firmware boards usermod_c
	$(VENV)/bin/mypy --config-file host/pyproject.toml host/microtrain

.PHONY: size
size: virtual ## bytes of the engine and the binding in the virtual board
	@size $(BUILD)/virtual/usermod_c/core/*.o $(BUILD)/virtual/usermod_c/core/ops/*.o \
		$(wildcard $(BUILD)/virtual/usermod_c/bind/*.o) --totals

# --- benchmarks ---------------------------------------------------------------------------------

BENCHES := kernels memory accuracy search faults

.PHONY: bench $(BENCHES:%=bench-%)
bench: $(BENCHES:%=bench-%) ## all benchmark tables, also as build/bench/*.json

bench-kernels: ## speed of every kernel
bench-memory: ## memory that training needs
bench-accuracy: ## accuracy against float training
bench-search: ## layers to train, searched and published
bench-faults: ## power cuts, killed runs, faulty lines, many boards: what is lost (over an hour)
bench-faults: emulator
bench-kernels: emulator qemu
bench-accuracy: torch
.PHONY: torch
torch: $(PYTHON_READY)
	@boards/setup.sh torch

$(BENCHES:%=bench-%): bench-%: $(READY) engine
	$(PY) tests/bench/$*.py $(BENCH_FLAGS)

# RENEW=1 commits what was counted to tests/bench/figures.txt; CMSIS_NN=CHECKOUT measures CMSIS-NN beside ours.
bench-kernels: BENCH_FLAGS := $(if $(RENEW),--renew) $(if $(CMSIS_NN),--cmsis-nn "$(CMSIS_NN)")

# An hour and a half, so not part of `make bench`; goes on where it was stopped.
.PHONY: bench-ablation
bench-ablation: $(READY) engine torch ## what QAS, int8 and sparse update cost and gain (90 minutes)
	@boards/setup.sh npm
	$(PY) tests/bench/ablation.py

# --- the rest -----------------------------------------------------------------------------------

.PHONY: clean distclean
clean: ## remove what was built, keep sources and the Python environment
	rm -rf $(filter-out $(BUILD)/src $(BUILD)/apt,$(wildcard $(BUILD)/*))

distclean: ## remove everything that make made
	rm -rf $(BUILD) $(VENV)
