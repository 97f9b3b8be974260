"""Calling the functions of the board's module microtrain.run, and giving it files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.firmware import require_engine
from microtrain.link.rom import MOUNT
from microtrain.link.session import Progress, Session, hash_timeout, raise_failure
from microtrain.link.transport import Device

VERSION = 5  # of the board's module that this program knows
WAIT_S = 0.2  # how fast Ctrl-C is noticed
Event = dict[str, Any]
OnEvent = Callable[[Event], object]


def call(
    device: Device,
    function: str,
    options: Mapping[str, Any],
    on_event: OnEvent,
    on_bytes: Callable[[bytes], object] | None = None,
) -> None:
    """Run `microtrain.run.FUNCTION(options)` on the board.

    on_event gets each event that it reports, on_bytes each message of bytes.
    Ctrl-C ends it between two samples; KeyboardInterrupt is raised once the board has ended.
    Raises RemoteError for an exception on the board, DeviceError for anything else.
    """
    begin(device, function, options)
    Follower(device.session, on_event, on_bytes).to_the_end()


def begin(device: Device, function: str, options: Mapping[str, Any]) -> None:
    """Start `microtrain.run.FUNCTION(options)` on the board; a Follower follows it. Raises as
    call() does."""
    session_of(device).request(
        "call", version=VERSION, function=function, options=dict(options)
    )


def session_of(device: Device) -> Session:
    """The device's session. Raises DeviceError, saying what to do, where the board has no
    microtrain, or another one than this program works with."""
    try:
        return device.session
    except RemoteError as error:
        if "ImportError" in str(error):
            require_engine(device)
            raise DeviceError(
                f"{device.port}: the package microtrain on this board cannot be used ({error}): "
                "flash the firmware of this version, or install the package anew"
            ) from error
        raise


class Follower:
    """Follows what runs on a board, from the session's next event on, until it ends."""

    def __init__(
        self,
        session: Session,
        on_event: OnEvent,
        on_bytes: Callable[[bytes], object] | None = None,
    ) -> None:
        self._session, self._on_event, self._on_bytes = session, on_event, on_bytes
        self._end: Event | None = None

    def to_the_end(self, *, stop: bool = True) -> None:
        """Wait for the end; as call() does. stop: whether Ctrl-C ends what runs."""
        interrupted: KeyboardInterrupt | None = None
        while self._end is None:
            try:
                for data in self._session.drain_bytes():
                    if self._on_bytes is not None:
                        self._on_bytes(data)
                for event in self._session.drain_events():
                    if event.get("event") == "end":
                        self._end = event
                        break
                    self._on_event(event)
                else:
                    self._session.pump(WAIT_S)
            except KeyboardInterrupt as error:
                if interrupted or not stop:
                    raise
                interrupted = error
                self._session.post("control", stop=True)
        raise_failure(self._end)
        if interrupted:
            raise interrupted


def put(device: Device, name: str, data: bytes, progress: Progress | None = None) -> str:
    """Have `data` as the file `name` on the board; returns its path there.

    Nothing is sent where the board already has these bytes, in ROMFS or as /`name`, where they are
    written to.
    """
    digest = hashlib.sha256(data).hexdigest()
    remote = f"/{name}"
    session, timeout = session_of(device), hash_timeout(len(data))
    for path in (f"{MOUNT}/{name}", remote):
        if session.request("sha256", path=path, timeout=timeout)["sha256"] == digest:
            return path
    device.write(remote, data, progress)
    return remote
