"""The layout of a ROMFS that models are added to without moving those that are there.

Its first block holds the directory alone: names, and pointers to the data, which begins at blocks
of its own. So a file that is written lies where no file lies yet, and only the rewriting of the
one directory block makes it appear. MicroPython reads this as any ROMFS (docs/reference/romfs.rst
of MicroPython 1.25); mpremote's writer puts the data between the records, and aligns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from microtrain.errors import DeviceError

MAGIC = b"\xd2\xcd\x31"
# Record kinds.
PADDING, POINTER, DIRECTORY, FILE = 1, 3, 4, 5
# Magic and a length of always 5 bytes; pointers count from its end.
HEADER_BYTES = 8


@dataclass(frozen=True)
class RomFile:
    """A file in ROMFS: its path below /rom, where its data begins in the flash area, its bytes."""

    path: str
    offset: int
    size: int


def _uint(value: int, width: int = 1) -> bytes:
    # Groups of 7 bits, highest first, the last one without bit 7; padded to `width` bytes.
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.insert(0, 0x80 | (value & 0x7F))
    return bytes([0x80] * (width - len(groups)) + groups)


def _record(kind: int, payload: bytes) -> bytes:
    return _uint(kind) + _uint(len(payload)) + payload


def _entries(files: Iterable[RomFile]) -> bytes:
    here, folders = b"", dict[str, list[RomFile]]()
    for file in files:
        folder, slash, rest = file.path.partition("/")
        if slash:
            folders.setdefault(folder, []).append(RomFile(rest, file.offset, file.size))
            continue
        name = file.path.encode()
        pointer = _record(POINTER, _uint(file.size) + _uint(file.offset - HEADER_BYTES))
        here += _record(FILE, _uint(len(name)) + name + pointer)
    for folder, inside in folders.items():
        name = folder.encode()
        here += _record(DIRECTORY, _uint(len(name)) + name + _entries(inside))
    return here


def directory(files: list[RomFile], block: int) -> bytes:
    """Return the first block of a ROMFS of `files`. Raises DeviceError if they are too many."""
    end = max([block, *(file.offset + file.size for file in files)])
    # Over the rest of the block, and the data.
    padding_header = len(_uint(PADDING)) + 5
    head = MAGIC + _uint(end - HEADER_BYTES, 5) + _entries(files)
    if len(head) + padding_header > block:
        raise DeviceError(
            f"ROMFS: the names of {len(files)} files need {len(head)} bytes, its directory has "
            f"{block}: use shorter names or fewer files"
        )
    head += _uint(PADDING) + _uint(end - len(head) - padding_header, 5)
    return head + b"\xff" * (block - len(head))


def find_room(files: list[RomFile], size: int, area: int, block: int) -> int | None:
    """Return the offset of the first run of free blocks that holds `size` bytes, None if none."""
    end = block
    for file in [*sorted(files, key=lambda file: file.offset), RomFile("", area, 0)]:
        if file.offset - end >= size:
            return end
        end = max(end, -(-(file.offset + file.size) // block) * block)
    return None
