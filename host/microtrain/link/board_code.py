"""Python that runs on the board, through the raw REPL: its ROMFS."""

# ROMFS: where its files lie. MicroPython gives its memory as a
# block device (rp2, esp32), or as a memoryview that vfs.rom_ioctl() erases and writes (6 asks for
# the bytes of a block, newer than MicroPython 1.25 and what mpremote uses).
ROM = """\
import vfs
_mt_rom = vfs.rom_ioctl(2, 0)

def _mt_rom_size():
    if hasattr(_mt_rom, "ioctl"):
        return _mt_rom.ioctl(4, 0) * _mt_rom.ioctl(5, 0), _mt_rom.ioctl(5, 0)
    return len(_mt_rom), vfs.rom_ioctl(6, 0)

def _mt_rom_files(folder):
    import os, uctypes
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            _mt_rom_files(path)
        else:
            with open(path, "rb") as file:
                data = memoryview(file)
                at = uctypes.addressof(data) - uctypes.addressof(_mt_rom) if len(data) else 0
                print((path, at, len(data)))

def _mt_rom_hash(offset, size):
    import hashlib
    return hashlib.sha256(memoryview(_mt_rom)[offset:offset + size]).digest()
"""
