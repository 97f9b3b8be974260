# A flash chip in RAM whose power goes at a chosen operation; runs on the virtual board.

import os

OK, DEAD = 0, -5  # the second is EIO
MASKS = bytes((0x5A, 0xFF, 0x00, 0x81, 0x7E))


class Flash:
    """Block device of NOR flash with `blocks` blocks, or a copy of `image`.

    After cut_at(n, torn) the nth operation, an erase or a write, is the last, and ends as `torn`
    says: with "none", the first "half" or some of the "bits" of its bytes changed. It and every
    access after it fail.
    """

    BLOCK = 4096

    def __init__(self, blocks=64, image=None):
        self.image = bytearray(image) if image else bytearray(b"\xff" * (blocks * self.BLOCK))
        self.operations, self.left, self.torn, self.alive = 0, None, "none", True

    def cut_at(self, n, torn):
        self.left, self.torn = n, torn

    def _change(self, at, old, new):
        self.operations += 1
        if self.left is not None:
            self.left -= 1
            if not self.left:
                self.alive = False
                new = self._torn(old, new)
        self.image[at : at + len(new)] = new
        return OK if self.alive else DEAD

    def _torn(self, old, new):
        if self.torn == "none":
            return old
        if self.torn == "half":
            return new[: len(new) // 2] + old[len(new) // 2 :]
        masks = (MASKS[i % len(MASKS)] for i in range(len(new)))
        return bytes((a & m) | (b & ~m & 0xFF) for a, b, m in zip(new, old, masks))

    def readblocks(self, block, buffer, offset=0):
        if not self.alive:
            return DEAD
        at = block * self.BLOCK + offset
        buffer[:] = memoryview(self.image)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        if not self.alive:
            return DEAD
        at, new = block * self.BLOCK + offset, bytes(buffer)
        old = bytes(self.image[at : at + len(new)])
        # Programming clears bits.
        assert bytes(a & b for a, b in zip(old, new)) == new, "written without an erase"
        return self._change(at, old, new)

    def ioctl(self, request, argument):
        if request == 4:
            return len(self.image) // self.BLOCK
        if request == 5:
            return self.BLOCK
        if request != 6:
            return OK
        if not self.alive:
            return DEAD
        at = argument * self.BLOCK
        return self._change(at, bytes(self.image[at : at + self.BLOCK]), b"\xff" * self.BLOCK)


class Disk(Flash):
    """The same with sectors for FAT, each of which is written as a whole or not at all: what FAT
    needs at least. On raw flash it has not even that."""

    BLOCK = 512

    def writeblocks(self, block, buffer):
        if not self.alive:
            return DEAD
        at = block * self.BLOCK
        return self._change(at, bytes(self.image[at : at + len(buffer)]), bytes(buffer))

    def ioctl(self, request, argument):
        return Flash.ioctl(self, request, argument) if request in (4, 5) else OK


def file_system(flash):
    return os.VfsFat(flash) if isinstance(flash, Disk) else os.VfsLfs2(flash, progsize=256)


def format(flash):
    if isinstance(flash, Disk):
        os.VfsFat.mkfs(flash)
    else:
        os.VfsLfs2.mkfs(flash, progsize=256)  # as the boards' _boot.py does


def mount(flash):
    os.mount(file_system(flash), "/f")


def unmount():
    os.umount("/f")
