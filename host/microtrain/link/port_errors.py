"""Why a serial port cannot be opened, or was lost, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import serial

from microtrain.link.lock_holder import lock_holder

BUSY = (errno.EAGAIN, errno.EBUSY)
DENIED = (errno.EACCES, errno.EPERM)


def why_not_open(port: str) -> str:
    """Say why `port`, which was just tried, does not open."""
    is_url = "://" in port
    if os.name == "posix" and not is_url and not Path(port).exists():
        return f"no serial port {port}: `microtrain boards` lists what is connected"
    try:
        serial.serial_for_url(port, exclusive=True).close()
    except (OSError, ValueError) as error:  # SerialException is an OSError
        code = getattr(error, "errno", None)
        if code in BUSY:
            holder = lock_holder(Path(port).stat().st_ino)
            return f"{port} is busy: {holder} has it open: end it, or wait for it"
        if code in DENIED:
            group = Path(port).group() if os.name == "posix" and not is_url else "dialout"
            return (
                f"{port}: no permission to open it: `sudo usermod -aG {group} $USER`, then log in "
                "again"
            )
        return f"{port} is no serial port, or cannot be used: {error}"
    return f"{port} could not be opened a moment ago: try again"


def why_lost(port: str, error: Exception) -> str:
    """Say what became of `port`, whose use has just failed with an OSError."""
    if os.name == "posix" and "://" not in port and not Path(port).exists():
        return (
            f"{port} has vanished: the board was unplugged, reset, or lost its power; plug it in "
            "and start again"
        )
    return f"{port} was lost: the board was reset, or another program uses the port ({error})"
