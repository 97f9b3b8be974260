"""Python that runs on the board: receiving and sending files over the raw REPL's line, ROMFS."""

ACKNOWLEDGE = b"\x06"
GO_ON = b"\x01"
ABORT = b"\x00"

# Receives `size` bytes in blocks, each given to `write`. The board acknowledges when it is ready
# and after each block, so that nothing is under way when it raises; the host sends a byte, go on
# or abort, before each block. The interrupt character is off meanwhile: any byte may be data.
STREAM = """\
def _mt_stream(size, block, write):
    import micropython, sys
    view = memoryview(bytearray(block))
    flag = bytearray(1)
    micropython.kbd_intr(-1)
    try:
        sys.stdout.write("\\x06")
        while size:
            sys.stdin.buffer.readinto(flag)
            if flag[0] != 1:
                raise OSError("transfer aborted by the host")
            n = min(size, block)
            sys.stdin.buffer.readinto(view[:n])
            write(view[:n])
            size -= n
            sys.stdout.write("\\x06")
    finally:
        micropython.kbd_intr(3)
"""

# Receives into a file beside the target, which is renamed into place only when the SHA-256 of what
# was written is the expected one, and removed otherwise.
RECEIVE = """\
def _mt_receive(path, size, block, digest):
    import os
    part = path + ".part"
    try:
        if _mt_receive_part(part, size, block) != digest:
            raise OSError("SHA-256 of what arrived is wrong, file not changed")
    except:
        try:
            os.remove(part)
        except OSError:
            pass
        raise
    try:
        os.rename(part, path)
    except OSError:
        # FAT does not rename over a file.
        os.remove(path)
        os.rename(part, path)

def _mt_receive_part(part, size, block):
    import hashlib
    with open(part, "wb") as file:
        _mt_stream(size, block, file.write)
    data = bytearray(block)
    view = memoryview(data)
    hasher = hashlib.sha256()
    with open(part, "rb") as file:
        while True:
            n = file.readinto(data)
            if not n:
                return hasher.digest()
            hasher.update(view[:n])
"""

# Sends a file as lines of base64, then a line "= SHA-256".
SEND = """\
def _mt_send(path, block):
    import binascii, hashlib
    data = bytearray(block)
    view = memoryview(data)
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            n = file.readinto(data)
            if not n:
                break
            hasher.update(view[:n])
            print(str(binascii.b2a_base64(view[:n]), "ascii"), end="")
    print("=", str(binascii.hexlify(hasher.digest()), "ascii"))
"""

# ROMFS: where its files lie, and writing blocks of its flash. MicroPython gives its memory as a
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

def _mt_rom_write(offset, size, block, page_size):
    page = bytearray(page_size)
    fill = 0
    def write(data):
        nonlocal fill, offset
        page[fill:fill + len(data)] = data
        fill += len(data)
        if fill == page_size:
            fill = 0
            if hasattr(_mt_rom, "ioctl"):
                _mt_rom.writeblocks(offset // page_size, page)
            else:
                vfs.rom_ioctl(3, 0, offset, page_size)
                vfs.rom_ioctl(4, 0, offset, page)
            offset += page_size
    _mt_stream(size, block, write)
    if not hasattr(_mt_rom, "ioctl"):
        vfs.rom_ioctl(5, 0)
"""
