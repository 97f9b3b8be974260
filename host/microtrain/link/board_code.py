"""Python that runs on the board: receiving and sending one file over the raw REPL's line."""

ACKNOWLEDGE = b"\x06"
GO_ON = b"\x01"
ABORT = b"\x00"

# Receives `size` bytes in blocks into a file beside the target, which is renamed into place only
# when the SHA-256 of what was written is the expected one, and removed otherwise. The board
# acknowledges when it is ready and after each block, so that nothing is under way when it raises;
# the host sends a byte, go on or abort, before each block. The interrupt character is off
# meanwhile, as any byte may be data.
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
    import hashlib, micropython, sys
    data = bytearray(block)
    view = memoryview(data)
    flag = bytearray(1)
    with open(part, "wb") as file:
        micropython.kbd_intr(-1)
        try:
            sys.stdout.write("\\x06")
            while size:
                sys.stdin.buffer.readinto(flag)
                if flag[0] != 1:
                    raise OSError("transfer aborted by the host")
                n = min(size, block)
                sys.stdin.buffer.readinto(view[:n])
                file.write(view[:n])
                size -= n
                sys.stdout.write("\\x06")
        finally:
            micropython.kbd_intr(3)
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
