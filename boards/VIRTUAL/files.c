// The board's file system: a folder of the host.

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "py/mpconfig.h"
#include "py/obj.h"

#include "board.h"

static char root[PATH_MAX];

const char *board_files_open(const char *folder) {
    return realpath(folder, root) != NULL && chdir(root) == 0 ? root : NULL;
}

void board_files_enter_root(void) {
    if (chdir(root) != 0) {
        // The folder has been removed: every file operation will say so.
        return;
    }
}

const char *board_path_copy(vstr_t *path) {
    static char copies[2][PATH_MAX];
    static int turn;
    turn = 1 - turn;
    // A path that is too long is cut at PATH_MAX, which every system call refuses.
    size_t len = MIN(path->len, PATH_MAX - 1);
    memcpy(copies[turn], path->buf, len);
    copies[turn][len] = '\0';
    return copies[turn];
}

char *board_getcwd(char *buf, size_t size) {
    char *cwd = getcwd(buf, size);
    if (cwd != NULL && strcmp(cwd, root) == 0) {
        strcat(cwd, "/");
    }
    return cwd;
}

const char *board_path_str(mp_obj_t path) {
    const char *str = mp_obj_str_get_str(path);
    return str[0] == '\0' ? "." : str;
}
