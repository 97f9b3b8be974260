"""Calling the functions of the board's module microtrain.run, and giving it files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.firmware import require_engine
from microtrain.link.rom import MOUNT
from microtrain.link.transport import Device, Progress

VERSION = 3  # of the board's module that this program knows
Event = dict[str, Any]
OnEvent = Callable[[Event], object]


def call(
    device: Device,
    function: str,
    options: Mapping[str, Any],
    on_event: OnEvent,
    on_text: Callable[[str], object] | None = None,
) -> None:
    """Run `microtrain.run.FUNCTION(options)` on the board.

    on_event gets each JSON object it prints; on_text each line that starts with "=", without it.
    Raises RemoteError for an exception on the board, DeviceError for anything else.
    """

    def on_line(line: str) -> None:
        if on_text is not None and line.startswith("="):
            on_text(line[1:])
            return
        try:
            event = json.loads(line)
        except ValueError:
            raise DeviceError(f"{device.port}: not an event: {line[:80]!r}") from None
        on_event(event)

    arguments = f"{VERSION}, {function!r}, {dict(options)!r}"
    try:
        device.exec(f"from microtrain import run\nrun.call({arguments})", on_line)
    except RemoteError as error:
        if "ImportError" in str(error):
            require_engine(device)
            raise DeviceError(
                f"{device.port}: the package microtrain on this board cannot be used ({error}): "
                "flash the firmware of this version, or install the package anew"
            ) from error
        raise


def put(device: Device, name: str, data: bytes, progress: Progress | None = None) -> str:
    """Have `data` as the file `name` on the board; returns its path there.

    Nothing is sent where the board already has these bytes, in ROMFS or as /`name`, where they are
    written to.
    """
    digest = hashlib.sha256(data).hexdigest()
    remote = f"/{name}"
    for path in (f"{MOUNT}/{name}", remote):
        found: list[Event] = []
        call(device, "sha256", {"path": path}, found.append)
        if found[0]["sha256"] == digest:
            return path
    device.write(remote, data, progress)
    return remote
