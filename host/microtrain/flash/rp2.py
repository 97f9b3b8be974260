"""Flashing an RP2040 or RP2350: its boot ROM shows a drive and programs the UF2 file put there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.files import read_checked
from microtrain.flash import uf2
from microtrain.flash.boards import Board, find_image
from microtrain.flash.boot_drive import (
    APPEAR_TIMEOUT_S,
    BootDrive,
    find_drives,
    wait_for_drive,
    write_to_drive,
)
from microtrain.link.firmware import Firmware, identify, require_engine
from microtrain.link.ports import check_serial_port, connected_ports
from microtrain.link.session import hash_timeout
from microtrain.link.transport import Device

# USB identity of MicroPython on these chips.
USB = "2e8a:0005"
RESTART_TIMEOUT_S = 20.0
POLL_S = 0.2

_HASH = """\
def _mt_flash_hash(size):
    import hashlib, uctypes
    return hashlib.sha256(uctypes.bytearray_at(0x10000000, size)).digest()
"""


@dataclass(frozen=True)
class Result:
    """What was done. firmware: what the board says it runs now, and `verified` whether its flash
    was read back and is equal; None and False if no serial port of it appeared."""

    image: Path
    drive: Path
    size: int
    firmware: Firmware | None
    verified: bool


class Rp2Flash:
    """A check of everything before the first byte is written; `run` then does it.

    drive: the boot drive, else it is looked for. port: serial port of the board's running
    MicroPython, which is asked to go into boot mode, and checked afterwards.
    Raises DeviceError.
    """

    def __init__(
        self, board: Board, image: Path | None = None, drive: Path | None = None,
        port: str | None = None,
    ) -> None:  # fmt: skip
        self.board, self._drive, self._port = board, drive, port
        self.image = find_image(board, image)
        self._data = b""
        self.uf2 = read_checked(self.image, self._parse, DeviceError)
        self.running: Firmware | None = None
        self._found: BootDrive | None = None
        if port is None:
            self._found = wait_for_drive(board.mcu, drive, [], 0)
            return
        check_serial_port(port)
        with Device(port) as device:
            self.running = identify(device)
        if not self.running.machine.endswith(board.chip):
            raise DeviceError(
                f"wrong board: {port} is a {self.running.machine or self.running.platform}, "
                f"{board.name}'s firmware is for the {board.chip}"
            )

    def _parse(self, data: bytes) -> uf2.Uf2:
        self._data = data
        return uf2.parse(data, self.board.mcu)

    def losses(self) -> str:
        """Say what the board loses, and what it keeps."""
        text = f"The program is replaced ({self.uf2.size:,} bytes at the flash's start). "
        if self.running is not None and self.running.abi is not None:
            return text + "The files and ROMFS of this board stay: it runs our firmware now."
        return text + (
            "Files and ROMFS stay if the board ran microtrain's firmware for it before; otherwise "
            "ITS FILES ARE LOST: other firmware keeps them elsewhere in the flash."
        )

    def run(self, say: Callable[[str], object] = lambda text: None) -> Result:
        """Put the firmware on the board. Raises DeviceError."""
        drive = self._found
        ports = {port.port for port in connected_ports()}
        if drive is None:
            assert self._port is not None
            before = find_drives()
            say(f"asking {self._port} to go into boot mode")
            with Device(self._port) as device:
                device.leave("import machine\nmachine.bootloader()")
            drive = wait_for_drive(self.board.mcu, self._drive, before, APPEAR_TIMEOUT_S)
            ports.discard(self._port)
        say(f"writing {self.image} to {drive.path}")
        write_to_drive(drive, self._data)
        port = self._port or self._new_port(ports)
        firmware = self._verify(port) if port else None
        return Result(self.image, drive.path, self.uf2.size, firmware, firmware is not None)

    def _new_port(self, before: set[str]) -> str | None:
        deadline = time.monotonic() + RESTART_TIMEOUT_S
        while time.monotonic() < deadline:
            new = [port.port for port in connected_ports()
                   if port.port not in before and port.usb == USB]  # fmt: skip
            if new:
                return new[0]
            time.sleep(POLL_S)
        return None

    def _verify(self, port: str) -> Firmware:
        deadline = time.monotonic() + RESTART_TIMEOUT_S
        while True:
            try:
                device = Device(port)
                break
            except DeviceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
        with device:
            device.exec(_HASH)
            size = self.uf2.size
            found = device.eval(f"_mt_flash_hash({size})", timeout=hash_timeout(size))
            if found != hashlib.sha256(self.uf2.content()).digest():
                raise DeviceError(
                    f"{port}: the board's flash does not hold what was written: flash it again"
                )
            return require_engine(device)
