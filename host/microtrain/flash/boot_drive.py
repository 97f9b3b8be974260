"""The drive that an RP2040 or RP2350 in boot mode shows up as."""

from __future__ import annotations

import os
import re
import string
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import DeviceError

INFO = "INFO_UF2.TXT"
BOARD_IDS = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}
CHIPS = {board_id: chip.upper() for chip, board_id in BOARD_IDS.items()}
# File systems of a boot drive, as Linux calls them: others, which may hang, are not looked at.
LINUX_TYPES = ("vfat", "msdos", "fuseblk")
APPEAR_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 15.0
POLL_S = 0.1


@dataclass(frozen=True)
class BootDrive:
    """Where a boot drive is mounted, and the Board-ID in its INFO_UF2.TXT."""

    path: Path
    board_id: str


def _linux_mounts() -> Iterator[tuple[Path, Path]]:
    # (device, where it is mounted); blanks in names are written as \040.
    for line in Path("/proc/mounts").read_text().splitlines():
        device, place, kind, *_ = line.split()
        if kind in LINUX_TYPES:
            yield Path(device), Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), place))


def _mounted() -> list[Path]:
    # MICROTRAIN_DRIVES: the folders to look at instead.
    override = os.environ.get("MICROTRAIN_DRIVES")
    if override is not None:
        return [Path(path) for path in override.split(os.pathsep) if path]
    if sys.platform == "win32":
        return [Path(f"{letter}:\\") for letter in string.ascii_uppercase[3:]]
    if sys.platform == "darwin":
        return list(Path("/Volumes").iterdir())
    return [place for _, place in _linux_mounts()]


def _has_left(drive: BootDrive) -> bool:
    if read_drive(drive.path) is None:
        return True
    # One that was mounted by hand stays, and what was read of it, when its device is gone.
    return sys.platform == "linux" and any(
        place == drive.path and not device.exists() for device, place in _linux_mounts()
    )


def read_drive(path: Path) -> BootDrive | None:
    """Return the boot drive at `path`, None if that is none."""
    try:
        info = (path / INFO).read_text(errors="replace")
    except OSError:
        return None
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Board-ID":
            return BootDrive(path, value.strip())
    return None


def find_drives() -> list[BootDrive]:
    """All boot drives that are mounted, of any chip."""
    return [drive for path in _mounted() if (drive := read_drive(path)) is not None]


def choose_drive(mcu: str, path: Path | None, before: list[BootDrive]) -> BootDrive | None:
    """Return the one boot drive of a chip; None if there is none yet.

    path: the drive to take. before: drives that were there before the board went into boot mode,
    and so are not it. Raises DeviceError for a drive of another chip, and for two drives.
    """
    drives = [drive for drive in find_drives() if drive not in before]
    if path is not None:
        named = read_drive(path)
        if named is None and path.exists():
            raise DeviceError(f"{path} is no boot drive: it has no {INFO}")
        drives = [named] if named else []
    fitting = [drive for drive in drives if drive.board_id == BOARD_IDS[mcu]]
    if len(fitting) > 1:
        places = " and ".join(str(drive.path) for drive in fitting)
        raise DeviceError(f"two boards are in boot mode: {places}: name one with --drive")
    if not fitting and drives:
        other = drives[0]
        chip = CHIPS.get(other.board_id, other.board_id)
        raise DeviceError(
            f"wrong board: the boot drive {other.path} is that of an {chip}, this firmware is for "
            f"the {mcu.upper()}"
        )
    return fitting[0] if fitting else None


def wait_for_drive(
    mcu: str, path: Path | None, before: list[BootDrive], timeout: float
) -> BootDrive:
    """Return the boot drive of a chip once it is there. Raises DeviceError."""
    deadline = time.monotonic() + timeout
    while True:
        drive = choose_drive(mcu, path, before)
        if drive is not None:
            return drive
        if time.monotonic() > deadline:
            raise DeviceError(
                f"no boot drive of an {mcu.upper()} found: hold BOOTSEL while you plug the board "
                "in, or give the --port of its running MicroPython; where drives are not mounted "
                "by themselves, mount it and name it with --drive"
            )
        time.sleep(POLL_S)


def write_to_drive(drive: BootDrive, data: bytes) -> None:
    """Copy a UF2 file to the drive and wait until the board has taken it and left boot mode.

    Raises DeviceError.
    """
    target = drive.path / "firmware.uf2"
    try:
        with target.open("wb") as file:
            written = file.write(data)
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                pass  # the board restarts with the last block, before the system is done with it
    except OSError as error:
        if drive.path.exists() and read_drive(drive.path) is not None:
            raise DeviceError(f"{target}: {error.strerror}") from error
        written = len(data)
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while not _has_left(drive):
        if time.monotonic() > deadline:
            raise DeviceError(
                f"{drive.path} is still a boot drive {LEAVE_TIMEOUT_S:g} s after {written} bytes "
                "were written to it: the board did not take the firmware"
            )
        time.sleep(POLL_S)
