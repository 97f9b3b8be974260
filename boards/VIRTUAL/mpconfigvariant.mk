# The virtual board: MicroPython's unix port with the serial line, REPL and file system of a board.

FROZEN_MANIFEST ?= $(VARIANT_DIR)/manifest.py

# A board has none of these, and leaving them out needs no library beyond the C one.
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SOCKET = 0
MICROPY_PY_SSL = 0
MICROPY_SSL_MBEDTLS = 0
MICROPY_PY_TERMIOS = 0
MICROPY_PY_THREAD = 0
MICROPY_VFS_LFS1 = 0

# SD cards have FAT; mpconfigvariant.h says it too, which make compares.
MICROPY_VFS_FAT = 1

SHARED_SRC_C_EXTRA += runtime/pyexec.c

# A thread stands for a second core (cores.c).
CFLAGS += -DMT_CORES=2
# A PC's processor may have instructions for SHA-256.
CFLAGS += -DMT_SHA_NI=1
LDFLAGS += -lpthread

# main.c and unix_mphal.c of the port stay as they are; what the board does in its own way is given
# another name there, and the linker drops it.
$(BUILD)/main.o: CFLAGS += -Dmain=unix_main -Dmp_vfs_rom_ioctl=unix_vfs_rom_ioctl
$(BUILD)/unix_mphal.o: CFLAGS += \
	-Dmp_hal_set_interrupt_char=unix_hal_set_interrupt_char \
	-Dmp_hal_stdin_rx_chr=unix_hal_stdin_rx_chr \
	-Dmp_hal_stdio_mode_orig=unix_hal_stdio_mode_orig \
	-Dmp_hal_stdio_mode_raw=unix_hal_stdio_mode_raw \
	-Dmp_hal_stdout_tx_str=unix_hal_stdout_tx_str \
	-Dmp_hal_stdout_tx_strn=unix_hal_stdout_tx_strn \
	-Dmp_hal_stdout_tx_strn_cooked=unix_hal_stdout_tx_strn_cooked
$(BUILD)/extmod/vfs_posix.o: CFLAGS += -include $(VARIANT_DIR)/rooted_paths.h
$(BUILD)/extmod/vfs_posix_file.o: CFLAGS += \
	-Dmp_sys_stdin_obj=posix_stdin_obj \
	-Dmp_sys_stdout_obj=posix_stdout_obj \
	-Dmp_sys_stderr_obj=posix_stderr_obj
