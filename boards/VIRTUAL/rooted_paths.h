// Included before extmod/vfs_posix.c. A VfsPosix with a root of its own has two faults in
// MicroPython 1.25: rename() builds both absolute paths in one buffer, so it renames a file to
// itself, and getcwd() at the root gives "" instead of "/". And "" is not the current folder, as
// it is in the file systems of boards. All three are mended from outside.

#include <stdio.h>
#include <unistd.h>

#include "py/mpconfig.h"
#include "py/obj.h"

// Copy of a path that stays valid until the next but one call.
const char *board_path_copy(vstr_t *path);
// getcwd() that ends the root folder's own path with a slash.
char *board_getcwd(char *buf, size_t size);
// The string, "." if it is empty.
const char *board_path_str(mp_obj_t path);

#define mp_obj_str_get_str(path) board_path_str(path)
#define vstr_null_terminated_str(path) board_path_copy(path)
#define getcwd(buf, size) board_getcwd(buf, size)
