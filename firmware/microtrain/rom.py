# Writing the flash that holds ROMFS.

import vfs


class Writer:
    """Writes whole blocks of `size` bytes from `offset` on. MicroPython gives the memory of ROMFS
    as a block device (rp2, esp32), or as one that vfs.rom_ioctl() erases and writes."""

    def __init__(self, offset, size):
        self.device, self.offset, self.size = vfs.rom_ioctl(2, 0), offset, size
        self.page, self.fill = bytearray(size), 0

    def write(self, data):
        while data:
            n = min(len(data), self.size - self.fill)
            self.page[self.fill : self.fill + n] = data[:n]
            data = data[n:]
            self.fill += n
            if self.fill == self.size:
                self._flush()

    def _flush(self):
        if hasattr(self.device, "ioctl"):
            self.device.writeblocks(self.offset // self.size, self.page)
        else:
            vfs.rom_ioctl(3, 0, self.offset, self.size)
            vfs.rom_ioctl(4, 0, self.offset, self.page)
        self.offset += self.size
        self.fill = 0

    def close(self):
        if not hasattr(self.device, "ioctl"):
            vfs.rom_ioctl(5, 0)
