"""The emulated RP2040: the firmware that a Raspberry Pi Pico runs, in an emulator of the chip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.link.board_process import REPO, EmulatorProcess

PROGRAM = REPO / "tests" / "emulator" / "rp2040" / "emulate.mjs"
LIBRARY = REPO / "build" / "emulator" / "rp2040" / "node_modules" / "rp2040js"
FLASH_NAME = "rp2040-flash.img"


def rp2040_firmware_path() -> Path:
    """Return the firmware to run: what `make firmware BOARD=RPI_PICO` builds.

    The environment variable MICROTRAIN_RP2040 overrides it. Raises DeviceError if there is none.
    """
    override = os.environ.get("MICROTRAIN_RP2040")
    path = Path(override or REPO / "build" / "firmware" / "RPI_PICO" / "firmware.uf2")
    if not path.is_file():
        raise DeviceError(
            f"no RP2040 firmware at {path}: run `make firmware BOARD=RPI_PICO` in the repository, "
            "or set MICROTRAIN_RP2040"
        )
    return path


class EmulatedRP2040(EmulatorProcess):
    """A running emulated board. `port` is the path of the pty that its USB serial port is.

    folder: where the image of its flash chip lies (rp2040-flash.img), which keeps file system and
    ROMFS from run to run; None is a temporary one, removed at close.
    firmware: the UF2 file to flash first; None is the one that `make firmware` builds.
    cores: 2 as on the chip, or 1: the other never answers.
    Otherwise as BoardProcess. The emulator is a part of the repository, not of this package.
    """

    def __init__(
        self, folder: Path | None = None, *, firmware: Path | None = None, cores: int = 2
    ) -> None:
        uf2 = firmware or rp2040_firmware_path()
        if not PROGRAM.is_file():
            raise DeviceError(f"no emulator at {PROGRAM}: emu:rp2040 needs a checkout")
        if shutil.which("node") is None:
            raise DeviceError("node is missing, which runs the RP2040 emulator: install nodejs")
        if not LIBRARY.is_dir():
            raise DeviceError("the RP2040 emulator is not set up: run `make emulator`")
        command = [
            "node", str(PROGRAM), str(LIBRARY), str(uf2.resolve()), FLASH_NAME, str(cores)
        ]  # fmt: skip
        super().__init__("the emulated RP2040", command, folder)
