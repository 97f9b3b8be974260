"""The boards that firmware is built for, from `boards/` of the repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.files import read_checked
from microtrain.link.board_process import REPO

# What the chips call themselves.
CHIP_NAMES = {
    "rp2040": "RP2040", "rp2350": "RP2350",
    "esp32": "ESP32", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3",
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """A board: its folder's name, its chip (board.json's `mcu`), what it is called, and, on ESP32
    chips, where in the flash its image begins."""

    name: str
    mcu: str
    product: str
    flash_offset: int

    @property
    def chip(self) -> str:
        """The chip's name for people."""
        return CHIP_NAMES[self.mcu]

    @property
    def is_esp32(self) -> bool:
        """Whether esptool flashes it; otherwise a boot drive does."""
        return self.mcu.startswith("esp32")

    @property
    def image(self) -> Path:
        """Where `make firmware` puts its image."""
        suffix = "bin" if self.is_esp32 else "uf2"
        return REPO / "build" / "firmware" / self.name / f"firmware.{suffix}"


def flashable_boards() -> list[Board]:
    """All boards with a chip that we can flash. Raises DeviceError."""
    found = []
    for path in sorted((REPO / "boards").glob("*/board.json")):
        board = read_checked(path, json.loads, DeviceError)
        if board.get("mcu") in CHIP_NAMES:
            offset = board.get("deploy_options", {}).get("flash_offset", "0")
            found.append(Board(path.parent.name, board["mcu"], board["product"], int(offset, 0)))
    return found


def find_board(name: str) -> Board:
    """Return the board of this name. Raises DeviceError."""
    boards = flashable_boards()
    for board in boards:
        if board.name == name:
            return board
    names = ", ".join(board.name for board in boards) or "none here: it needs a checkout"
    raise DeviceError(f"no board {name} to flash: there are {names}")


def find_image(board: Board, image: Path | None) -> Path:
    """Return `image`, or the one that was built for `board`. Raises DeviceError."""
    path = image or board.image
    if not path.is_file():
        raise DeviceError(f"no firmware at {path}: `microtrain firmware build {board.name}`")
    return path
