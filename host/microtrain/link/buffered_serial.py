"""A serial port that reads ahead, so that what one reader did not want is left to the next."""

from __future__ import annotations

import time
from typing import Any

import serial

from microtrain.errors import DeviceTimeout


class BufferedSerial:
    """Wraps an open pyserial port whose own timeout is short; the rest of its API passes through.

    answer_timeout: seconds that `read` waits for all bytes it was asked for.
    """

    def __init__(self, port: serial.Serial, answer_timeout: float) -> None:
        self._port = port
        self._buffer = b""
        self.answer_timeout = answer_timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def inWaiting(self) -> int:  # pyserial's old name, which mpremote uses
        return len(self._buffer) + self._port.in_waiting

    def read(self, size: int = 1) -> bytes:
        """Return `size` bytes, fewer if they did not arrive in time."""
        deadline = time.monotonic() + self.answer_timeout
        while len(self._buffer) < size and time.monotonic() < deadline:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read_some(self, timeout: float | None) -> bytes:
        """Return at least one byte.

        timeout: seconds, None waits for ever. Raises DeviceTimeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._buffer:
            self._fill()
            if not self._buffer and deadline is not None and time.monotonic() > deadline:
                raise DeviceTimeout(f"{self._port.name}: the board was silent for {timeout:g} s")
        data, self._buffer = self._buffer, b""
        return data

    @property
    def port(self) -> serial.Serial:
        """The wrapped port."""
        return self._port

    def use(self, port: serial.Serial) -> None:
        """Go on with `port`, which was opened anew; what had been read ahead is dropped."""
        self._port, self._buffer = port, b""

    def take(self) -> bytes:
        """Return what has been read ahead, which is forgotten here."""
        data, self._buffer = self._buffer, b""
        return data

    def unread(self, data: bytes) -> None:
        """Put `data` back, to be read first."""
        self._buffer = data + self._buffer

    def _fill(self) -> None:
        self._buffer += self._port.read(max(1, self._port.in_waiting))
