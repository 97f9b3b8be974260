"""An open serial port, read and written without waiting, and opened again when it was lost."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

import serial

READ_BYTES = 1 << 16
# Between two looks at a port that cannot be waited for (Windows, URLs), and two tries to open one.
POLL_S = 0.001
REOPEN_POLL_S = 0.005


class Line:
    """Bytes to and from the port. `rest`: bytes that had been read ahead of it.

    reopen: opens the port anew; raises OSError while it is not there.
    """

    def __init__(
        self, port: serial.Serial, rest: bytes, reopen: Callable[[], serial.Serial]
    ) -> None:
        self._rest = rest
        self._reopen = reopen
        self._out = bytearray()
        self._use(port)

    def _use(self, port: serial.Serial) -> None:
        self.port = port
        self._fd: int | None = None
        if os.name == "posix" and isinstance(port, serial.Serial):
            self._fd = port.fileno()
        else:
            port.write_timeout = 0

    def write(self, data: bytes) -> None:
        """Have `data` sent by the next exchanges."""
        self._out += data

    @property
    def unsent(self) -> int:
        """Bytes not yet handed to the system."""
        return len(self._out)

    def exchange(self, timeout: float) -> bytes:
        """Send what can be sent, return what has come; waits up to `timeout` seconds for either.

        Raises OSError when the port is lost.
        """
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self._fd is None:
            return self._exchange_by_polling(timeout)
        self._write_fd()
        writers = [self._fd] if self._out else []
        readable, writable, _ = select.select([self._fd], writers, [], timeout)
        if writable:
            self._write_fd()
        if not readable:
            return b""
        data = os.read(self._fd, READ_BYTES)
        if not data:
            raise OSError("the port was closed at its other end")
        return data

    def _write_fd(self) -> None:
        assert self._fd is not None
        while self._out:
            try:
                sent = os.write(self._fd, self._out[:READ_BYTES])
            except BlockingIOError:
                return
            del self._out[:sent]

    def _exchange_by_polling(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            if self._out:
                sent = self.port.write(bytes(self._out[:READ_BYTES]))
                del self._out[: sent or 0]
            if waiting := self.port.in_waiting:
                return bytes(self.port.read(waiting))
            if time.monotonic() >= deadline:
                return b""
            time.sleep(POLL_S)

    def reopen(self, timeout: float) -> None:
        """Open the lost port again; what was to be sent is dropped. Raises OSError in the end."""
        self._out.clear()
        self._rest = b""
        self.port.close()
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._use(self._reopen())
                return
            except OSError:  # SerialException is one
                if time.monotonic() > deadline:
                    raise
                time.sleep(REOPEN_POLL_S)
