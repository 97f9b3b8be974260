"""UF2 files for RP2040 and RP2350: checked whole before a boot drive gets to see them.

Source: the format's specification, github.com/microsoft/uf2; families and limits of the boot ROMs
from the datasheets of the two chips.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from microtrain.errors import DeviceError

BLOCK = 512
MAGIC_START, MAGIC_END = (0x0A324655, 0x9E5D5157), 0x0AB16F30
NOT_MAIN_FLASH, FAMILY_PRESENT = 0x1, 0x2000
FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
# A block of this family, at the flash's end, is added by picotool against erratum RP2350-E10.
ABSOLUTE = 0xE48BFF57
FAMILY_NAMES = {family: chip.upper() for chip, family in FAMILIES.items()}
PAYLOAD = 256
FLASH_BASE, FLASH_MAX = 0x10000000, 16 << 20


@dataclass(frozen=True)
class Uf2:
    """A checked file: what it writes to the flash (payload by offset from the flash's start)."""

    blocks: dict[int, bytes]

    @property
    def size(self) -> int:
        """Bytes from the flash's start to the end of the last block."""
        return max(self.blocks) + PAYLOAD

    def content(self) -> bytes:
        """The flash from its start to the last block, what is not written as 0xFF."""
        flash = bytearray(b"\xff" * self.size)
        for offset, data in self.blocks.items():
            flash[offset : offset + PAYLOAD] = data
        return bytes(flash)


def parse(data: bytes, mcu: str) -> Uf2:
    """Return the UF2 file `data` for the chip `mcu`. Raises DeviceError for anything odd in it."""
    if not data or len(data) % BLOCK:
        raise DeviceError(f"no UF2 file: its {len(data)} bytes are no multiple of {BLOCK}")
    family = FAMILIES[mcu]
    blocks: dict[int, bytes] = {}
    count = 0
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        *start, flags, address, size, number, total, found = struct.unpack_from("<8I", block)
        if tuple(start) != MAGIC_START or struct.unpack_from("<I", block, 508)[0] != MAGIC_END:
            raise DeviceError(f"no UF2 file, or a damaged one: no block at {at}")
        if flags & NOT_MAIN_FLASH or (flags & FAMILY_PRESENT and found == ABSOLUTE):
            continue
        if not flags & FAMILY_PRESENT:
            raise DeviceError(f"UF2 block at {at} does not say for which chip it is")
        if found != family:
            name = FAMILY_NAMES.get(found, f"another chip (family 0x{found:08x})")
            raise DeviceError(
                f"wrong board: this UF2 file is for {name}, not for {FAMILY_NAMES[family]}"
            )
        offset = address - FLASH_BASE
        if size != PAYLOAD or offset % PAYLOAD or not 0 <= offset < FLASH_MAX:
            raise DeviceError(
                f"UF2 block at {at}: {size} bytes for 0x{address:08x}, {PAYLOAD} for the flash "
                "needed"
            )
        if number != count or offset in blocks:
            raise DeviceError(f"UF2 block at {at} is number {number}, {count} expected: damaged")
        blocks[offset] = block[32 : 32 + PAYLOAD]
        count += 1
    if count != total:
        raise DeviceError(f"UF2 file cut short: {count} of {total} blocks")
    if 0 not in blocks:
        raise DeviceError("UF2 file with nothing for the flash's start: no firmware")
    return Uf2(blocks)
