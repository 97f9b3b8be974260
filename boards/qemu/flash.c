// The flash chip: memory that holds what a file holds, so that ROMFS is read in place and what is
// written is there after a reset, a power cut, and the next start. Python sees a part of it as a
// block device.

#include <string.h>

#include "py/mperrno.h"
#include "py/runtime.h"
#include "extmod/vfs.h"

#include "board.h"

#define BLOCK_BYTES (4096)
#define ROMFS_BYTES (4u << 20)
#define FILES_BYTES (4u << 20)

static uint8_t content[ROMFS_BYTES + FILES_BYTES] __attribute__((section(".flash"), aligned(16)));
static int file;

typedef struct {
    mp_obj_base_t base;
    uint32_t start, len; // in bytes, multiples of BLOCK_BYTES
} flash_obj_t;

static const mp_obj_type_t flash_type;
static const flash_obj_t romfs = {{&flash_type}, 0, ROMFS_BYTES};
static const flash_obj_t files = {{&flash_type}, ROMFS_BYTES, FILES_BYTES};

int flash_init(void) {
    file = host_open("flash.img");
    if (file < 0) {
        return -1;
    }
    int len = host_read(file, 0, content, sizeof(content));
    // What was never written is erased.
    len = len < 0 ? 0 : len;
    memset(content + len, 0xff, sizeof(content) - len);
    return 0;
}

// The address of `len` bytes at `offset` in block `block`.
static uint8_t *locate(const flash_obj_t *self, mp_obj_t block, mp_int_t offset, size_t len) {
    uint64_t start = (uint64_t)(mp_uint_t)mp_obj_get_int(block) * BLOCK_BYTES + (mp_uint_t)offset;
    if (start + len > self->len) {
        mp_raise_OSError(MP_EINVAL);
    }
    return content + self->start + start;
}

static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t data;
    mp_get_buffer_raise(args[2], &data, MP_BUFFER_WRITE);
    mp_int_t offset = n_args == 4 ? mp_obj_get_int(args[3]) : 0;
    memcpy(data.buf, locate(MP_OBJ_TO_PTR(args[0]), args[1], offset, data.len), data.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 3, 4, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t data;
    mp_get_buffer_raise(args[2], &data, MP_BUFFER_READ);
    mp_int_t offset = n_args == 4 ? mp_obj_get_int(args[3]) : 0;
    uint8_t *to = locate(MP_OBJ_TO_PTR(args[0]), args[1], offset, data.len);
    memcpy(to, data.buf, data.len);
    if (host_write(file, to - content, to, data.len) != (int)data.len) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 3, 4, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t self_in, mp_obj_t cmd, mp_obj_t arg) {
    (void)arg;
    const flash_obj_t *self = MP_OBJ_TO_PTR(self_in);
    switch (mp_obj_get_int(cmd)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(self->len / BLOCK_BYTES);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK_BYTES);
        // Any byte can be written at any time, at once.
        case MP_BLOCKDEV_IOCTL_INIT:
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            return MP_OBJ_NEW_SMALL_INT(0);
        default:
            return mp_const_none;
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(flash_ioctl_obj, flash_ioctl);

static mp_int_t flash_get_buffer(mp_obj_t self_in, mp_buffer_info_t *data, mp_uint_t flags) {
    const flash_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (flags != MP_BUFFER_READ) {
        return 1;
    }
    data->buf = content + self->start;
    data->len = self->len;
    data->typecode = 'B';
    return 0;
}

static const mp_rom_map_elem_t flash_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj)},
};
static MP_DEFINE_CONST_DICT(flash_locals, flash_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE,
    buffer, flash_get_buffer, locals_dict, &flash_locals);

mp_obj_t mp_vfs_rom_ioctl(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    switch (mp_obj_get_int(args[0])) {
        case MP_VFS_ROM_IOCTL_GET_NUMBER_OF_SEGMENTS:
            return MP_OBJ_NEW_SMALL_INT(1);
        case MP_VFS_ROM_IOCTL_GET_SEGMENT:
            return MP_OBJ_FROM_PTR(&romfs);
        default:
            return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
    }
}

// The part that holds files, for _boot.py.
static const mp_rom_map_elem_t module_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_qemu)},
    {MP_ROM_QSTR(MP_QSTR_flash), MP_ROM_PTR(&files)},
};
static MP_DEFINE_CONST_DICT(module_globals, module_table);

const mp_obj_module_t qemu_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&module_globals,
};

MP_REGISTER_MODULE(MP_QSTR_qemu, qemu_module);
