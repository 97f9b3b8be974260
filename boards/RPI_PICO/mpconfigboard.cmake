# Raspberry Pi Pico: RP2040, Cortex-M0+ at 125 MHz, 264 KB RAM, 2 MB flash.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
# The pin names of the port's own board.
set(GEN_PINS_CSV_ARG --board-csv ${MICROPY_PORT_DIR}/boards/RPI_PICO/pins.csv)
# The kernels run from RAM: weights stream through the cache of the flash.
list(APPEND MICROPY_DEF_BOARD "MT_HOT_SECTION=\".time_critical.microtrain\"")
# Both cores (mt.Trainer(cores=2)).
list(APPEND MICROPY_DEF_BOARD MT_CORES=2)
list(APPEND MICROPY_SOURCE_BOARD ${MICROPY_BOARD_DIR}/../rp2/cores.c)
