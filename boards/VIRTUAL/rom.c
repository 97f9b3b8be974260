// The flash that holds ROMFS: a file mapped into memory, so that files in /rom are read in place.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "py/mperrno.h"
#include "py/objarray.h"
#include "py/runtime.h"
#include "extmod/vfs.h"

#include "board.h"

// Bytes the deploying host pads a write to, and bytes of a block that is erased at once.
#define ROM_WRITE_SIZE (16)
#define ROM_BLOCK_SIZE (4096)
// What newer MicroPython has: rom_ioctl(6, <id>) -> bytes of a block, and rom_ioctl(3, <id>, <offset>, <len>) erases blocks.
#define ROM_IOCTL_BLOCK_SIZE (6)

static mp_obj_array_t rom;

int board_rom_open(const char *file, size_t size) {
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return -1;
    }
    if (st.st_size == 0 && ftruncate(fd, size) != 0) {
        return -1;
    }
    size_t len = st.st_size == 0 ? size : (size_t)st.st_size;
    void *items = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (items == MAP_FAILED) {
        return -1;
    }
    rom.base.type = &mp_type_memoryview;
    rom.typecode = 'B';
    rom.len = len;
    rom.items = items;
    return 0;
}

mp_obj_t mp_vfs_rom_ioctl(size_t n_args, const mp_obj_t *args) {
    mp_int_t cmd = mp_obj_get_int(args[0]);
    if (cmd == MP_VFS_ROM_IOCTL_GET_NUMBER_OF_SEGMENTS) {
        return MP_OBJ_NEW_SMALL_INT(rom.items == NULL ? 0 : 1);
    }
    if (rom.items == NULL || n_args < 2 || mp_obj_get_int(args[1]) != 0) {
        return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
    }
    if (cmd == MP_VFS_ROM_IOCTL_GET_SEGMENT) {
        return MP_OBJ_FROM_PTR(&rom);
    }
    if (cmd == ROM_IOCTL_BLOCK_SIZE) {
        return MP_OBJ_NEW_SMALL_INT(ROM_BLOCK_SIZE);
    }
    if (cmd == MP_VFS_ROM_IOCTL_WRITE_PREPARE && n_args >= 3) {
        size_t offset = n_args > 3 ? mp_obj_get_int(args[2]) : 0, len = mp_obj_get_int(args[n_args > 3 ? 3 : 2]);
        if (offset > rom.len || len > rom.len - offset || offset % ROM_BLOCK_SIZE != 0) {
            return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
        }
        memset((uint8_t *)rom.items + offset, 0xff, len);
        return MP_OBJ_NEW_SMALL_INT(ROM_WRITE_SIZE);
    }
    if (cmd == MP_VFS_ROM_IOCTL_WRITE && n_args >= 4) {
        size_t offset = mp_obj_get_int(args[2]);
        mp_buffer_info_t data;
        mp_get_buffer_raise(args[3], &data, MP_BUFFER_READ);
        if (offset > rom.len || data.len > rom.len - offset) {
            return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
        }
        memcpy((uint8_t *)rom.items + offset, data.buf, data.len);
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    if (cmd == MP_VFS_ROM_IOCTL_WRITE_COMPLETE) {
        return MP_OBJ_NEW_SMALL_INT(msync(rom.items, rom.len, MS_SYNC) == 0 ? 0 : -MP_EIO);
    }
    return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
}
