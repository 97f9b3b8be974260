"""Flashing an ESP32 chip with esptool, which is run as a program, never imported: it is GPL."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.files import read_checked
from microtrain.flash.boards import CHIP_NAMES, Board, find_image
from microtrain.link.ports import check_serial_port

# Source: esptool's documentation, "Firmware Image Format".
IMAGE_MAGIC = 0xE9
IMAGE_CHIPS = {0: "esp32", 5: "esp32c3", 9: "esp32s3"}
CHIP_ID_AT, HEADER_BYTES = 12, 24
BAUD = 460800
ESPTOOL = "esptool"
ERROR = re.compile(r"^ERROR: (?:A fatal error occurred: )?(.*)", re.MULTILINE)
CHIP = re.compile(r"^(?:Detecting chip type\.\.\.|Connected to) (ESP32\S*)", re.MULTILINE)
FLASH_SIZE = re.compile(r"^Detected flash size: *(\d+)MB", re.MULTILINE)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Result:
    """What was written, to which chip, and where."""

    image: Path
    chip: str
    offset: int
    size: int


def _check_image(data: bytes, board: Board) -> bytes:
    if len(data) < HEADER_BYTES or data[0] != IMAGE_MAGIC:
        raise DeviceError(f"no ESP32 image: it does not start with 0x{IMAGE_MAGIC:02x}")
    chip = int.from_bytes(data[CHIP_ID_AT : CHIP_ID_AT + 2], "little")
    if IMAGE_CHIPS.get(chip) != board.mcu:
        name = CHIP_NAMES.get(IMAGE_CHIPS.get(chip, ""), f"another chip (id {chip})")
        raise DeviceError(f"wrong board: this image is for the {name}, not for the {board.chip}")
    return data


class Esp32Flash:
    """A check of image and chip before the first byte is written; `run` then does it.

    port: serial port of the board. erase: erase the whole flash first. baud: bits per second
    while writing. Raises DeviceError.
    """

    def __init__(
        self, board: Board, port: str, image: Path | None = None, *, erase: bool = False,
        baud: int = BAUD,
    ) -> None:  # fmt: skip
        self.board, self._port, self._erase, self._baud = board, port, erase, baud
        check_serial_port(port)
        self.image = find_image(board, image)
        self._size = len(read_checked(self.image, lambda d: _check_image(d, board), DeviceError))
        output = self._esptool("auto", ["flash-id"])
        found = CHIP.search(output)
        self.chip = found.group(1) if found else "unknown chip"
        if self.chip != board.chip:
            raise DeviceError(
                f"wrong board: {port} is an {self.chip}, {board.name}'s firmware is for the "
                f"{board.chip}; nothing was written"
            )
        size = FLASH_SIZE.search(output)
        end = board.flash_offset + self._size
        if size and end > int(size.group(1)) << 20:
            raise DeviceError(
                f"{port}: the firmware ends at {end:,}, this chip's flash has {size.group(1)} MB"
            )

    def losses(self) -> str:
        """Say what the board loses, and what it keeps."""
        if self._erase:
            return "THE WHOLE FLASH IS ERASED: program, settings (NVS), ROMFS and all files."
        end = self.board.flash_offset + self._size
        return (
            f"The program and the settings (NVS: Wi-Fi, calibration) are replaced "
            f"({self.board.flash_offset:#x} to {end:#x}). Files and ROMFS stay if the board ran "
            "microtrain's firmware for it before; otherwise THEY ARE LOST: other firmware has "
            "another partition table, and --erase is needed."
        )

    def run(self, say: Say = lambda text: None) -> Result:
        """Write the image and verify it. Raises DeviceError."""
        place = [hex(self.board.flash_offset), str(self.image)]
        say(f"writing {self.image} to {self.chip} at {place[0]}")
        erase = ["--erase-all"] if self._erase else []
        self._esptool(self.board.mcu, ["write-flash", *erase, *place])
        say("verifying")
        self._esptool(self.board.mcu, ["verify-flash", *place])
        return Result(self.image, self.chip, self.board.flash_offset, self._size)

    def _esptool(self, chip: str, arguments: list[str]) -> str:
        """Run esptool; return what it printed. Raises DeviceError."""
        if importlib.util.find_spec(ESPTOOL) is None:
            raise DeviceError(f"{ESPTOOL} is missing: pip install 'microtrain[flash]'")
        command = [sys.executable, "-m", ESPTOOL, "--chip", chip, "--port", self._port,
                   "--baud", str(self._baud), *arguments]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True)
        output = result.stdout + result.stderr
        if result.returncode == 0:
            return output
        lines = [line for line in output.splitlines() if line.strip()]
        errors = ERROR.findall(output) or lines[-1:]
        reason = errors[0] if errors else f"exit code {result.returncode}"
        hint = ""
        if "onnect" in reason:
            hint = "; hold BOOT, press RESET, release BOOT, and try again"
        raise DeviceError(f"{self._port}: esptool {arguments[0]}: {reason}{hint}")
