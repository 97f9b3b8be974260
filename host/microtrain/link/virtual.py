"""The virtual board: MicroPython's unix port with our engine, as a process behind a pty."""

from __future__ import annotations

import os
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.link.board_process import REPO, BoardProcess


def firmware_path(bits: int = 64) -> Path:
    """Return the virtual board's program, the 32-bit one if `bits` is 32.

    The environment variables MICROTRAIN_VIRTUAL and MICROTRAIN_VIRTUAL32 override the place where
    `make virtual` and `make virtual32` put it. Raises DeviceError if there is none.
    """
    suffix = "32" if bits == 32 else ""
    override = os.environ.get(f"MICROTRAIN_VIRTUAL{suffix}")
    path = Path(override) if override else REPO / "build" / f"virtual{suffix}" / "micropython"
    if not os.access(path, os.X_OK):
        raise DeviceError(
            f"no virtual board at {path}: run `make virtual{suffix}` in the repository, or set "
            f"MICROTRAIN_VIRTUAL{suffix}"
        )
    return path


class VirtualBoard(BoardProcess):
    """A running virtual board. `port` is the path of its serial port.

    folder: the board's file system, created if need be; None is a temporary one, removed at close.
    heap: bytes of the board's garbage-collected heap.
    rom: flash image that holds ROMFS (mounted at /rom), created if need be; None is no ROMFS.
    firmware: the board's program; None is the one that `make virtual` builds.

    Otherwise as BoardProcess.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        heap: int = 64 << 20,
        rom: Path | None = None,
        firmware: Path | None = None,
    ) -> None:
        program = firmware or firmware_path()
        command = [str(program), "--root", "{folder}", "--heap", str(heap)]
        if rom is not None:
            command += ["--rom", str(rom)]
        super().__init__("the virtual board", command, folder)
