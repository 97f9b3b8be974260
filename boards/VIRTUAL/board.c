// The virtual board's start-up and REPL loop, the same as a board's: boot.py, main.py, REPL, and
// a soft reset that frees the whole heap and starts over in the same process.

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "py/builtin.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/objlist.h"
#include "py/runtime.h"
#include "extmod/vfs.h"
#include "extmod/vfs_posix.h"
#include "genhdr/mpversion.h"
#include "shared/readline/readline.h"

#include "../run_until_reset.h"
#include "board.h"

#define HEAP_DEFAULT ((size_t)64 << 20)
#define ROM_DEFAULT ((size_t)16 << 20)
// What the unix port allows, in bytes.
#define STACK_LIMIT (40000 * (sizeof(void *) / 4))

static const char usage[] =
    "usage: micropython [--root FOLDER] [--heap BYTES] [--rom FILE] [--rom-size BYTES]\n"
    "\n"
    "Runs the virtual board. Prints the path of its serial port, then serves it until standard\n"
    "input closes.\n"
    "\n"
    "  --root FOLDER     the board's file system (default: the current folder)\n"
    "  --heap BYTES      size of the garbage-collected heap, K and M allowed (default: 64M)\n"
    "  --rom FILE        flash image that holds ROMFS, created if need be (default: none)\n"
    "  --rom-size BYTES  size of a new flash image (default: 16M)\n"
    "  --version         print the version and exit\n";

static void fail(const char *what, const char *which) {
    fprintf(stderr, "virtual board: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

// To standard output of the process: MicroPython's own puts() writes to the serial line.
static void print_line(const char *line) {
    fprintf(stdout, "%s\n", line);
    fflush(stdout);
}

static size_t parse_size(const char *text) {
    char *end;
    unsigned long long size = strtoull(text, &end, 0);
    if (*end == 'K' || *end == 'k') {
        size <<= 10;
        end++;
    } else if (*end == 'M' || *end == 'm') {
        size <<= 20;
        end++;
    }
    if (*end != '\0' || end == text || size < 16384 || size > ((size_t)1 << 30)) {
        fprintf(stderr, "virtual board: size %s is not between 16K and 1024M\n", text);
        exit(2);
    }
    return size;
}

static void mount_root(const char *root) {
    mp_obj_t root_obj = mp_obj_new_str_from_cstr(root);
    mp_obj_t args[2] = {
        MP_OBJ_TYPE_GET_SLOT(&mp_type_vfs_posix, make_new)(&mp_type_vfs_posix, 1, 0, &root_obj),
        MP_OBJ_NEW_QSTR(MP_QSTR__slash_),
    };
    mp_vfs_mount(2, args, (mp_map_t *)&mp_const_empty_map);
    // The mount just made is the last of the list.
    MP_STATE_VM(vfs_cur) = MP_STATE_VM(vfs_mount_table);
    while (MP_STATE_VM(vfs_cur)->next != NULL) {
        MP_STATE_VM(vfs_cur) = MP_STATE_VM(vfs_cur)->next;
    }
    board_files_enter_root();
}

static void set_sys_path(void) {
    static const char *const path[] = {"", ".frozen", "/lib", "/rom", "/rom/lib"};
    mp_sys_path = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < MP_ARRAY_SIZE(path); i++) {
        mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(qstr_from_str(path[i])));
    }
    mp_obj_list_init(MP_OBJ_TO_PTR(mp_sys_argv), 0);
}

static MP_NOINLINE void run(const char *root, size_t heap_bytes) {
    char *heap = malloc(heap_bytes);
    if (heap == NULL) {
        fail("no memory for", "the heap");
    }
    for (;;) {
        gc_init(heap, heap + heap_bytes);
        mp_init();
        mount_root(root);
        set_sys_path();
        readline_init0();
        run_until_reset();
        mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
        gc_sweep_all();
        mp_deinit();
    }
}

int main(int argc, char **argv) {
    mp_cstack_init_with_sp_here(STACK_LIMIT);
    static const struct option options[] = {
        {"root", required_argument, NULL, 'r'},
        {"heap", required_argument, NULL, 'h'},
        {"rom", required_argument, NULL, 'f'},
        {"rom-size", required_argument, NULL, 's'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, '?'},
        {NULL, 0, NULL, 0},
    };
    const char *root = ".";
    const char *rom = NULL;
    size_t heap_bytes = HEAP_DEFAULT;
    size_t rom_bytes = ROM_DEFAULT;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
            case 'r':
                root = optarg;
                break;
            case 'h':
                heap_bytes = parse_size(optarg);
                break;
            case 'f':
                rom = optarg;
                break;
            case 's':
                rom_bytes = parse_size(optarg);
                break;
            case 'v':
                print_line(MICROPY_BANNER_NAME_AND_VERSION "; " MICROPY_BANNER_MACHINE);
                return 0;
            default:
                fputs(usage, stderr);
                return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    if (rom != NULL && board_rom_open(rom, rom_bytes) != 0) {
        fail("cannot open ROM file", rom);
    }
    const char *absolute_root = board_files_open(root);
    if (absolute_root == NULL) {
        fail("cannot open folder", root);
    }
    const char *port = board_serial_open();
    if (port == NULL) {
        fail("cannot open", "a pty");
    }
    print_line(port); // first: the board may be powered off at once
    if (board_serial_start() != 0) {
        fail("cannot read", port);
    }
    run(absolute_root, heap_bytes);
    return 0;
}
