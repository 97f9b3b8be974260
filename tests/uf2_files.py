"""Small UF2 files, and a folder that stands for the boot drive of a board."""

from __future__ import annotations

import struct
from pathlib import Path

FAMILIES = {"rp2040": 0xE48BFF56, "rp2350": 0xE48BFF59}
INFO = {
    "rp2040": "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n",
    "rp2350": "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n",
}


def make_uf2(data: bytes, chip: str = "rp2040", base: int = 0x10000000) -> bytes:
    """`data` in blocks of 256 bytes for the flash of a chip."""
    data += b"\xff" * (-len(data) % 256)
    total = len(data) // 256
    return b"".join(
        struct.pack(
            "<8I476sI", 0x0A324655, 0x9E5D5157, 0x2000, base + 256 * i, 256, i, total,
            FAMILIES[chip], data[256 * i : 256 * (i + 1)], 0x0AB16F30,
        )
        for i in range(total)
    )  # fmt: skip


def make_drive(folder: Path, chip: str = "rp2040") -> Path:
    """A boot drive of a chip."""
    folder.mkdir(parents=True)
    (folder / "INFO_UF2.TXT").write_text(INFO[chip])
    (folder / "INDEX.HTM").write_text("<html></html>")
    return folder
