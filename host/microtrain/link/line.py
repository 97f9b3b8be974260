"""An open serial port, read and written without waiting, and opened again when it was lost."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

import serial

READ_BYTES = 1 << 16
# What one read of a terminal gives at most, and what reads in a row may give as one exchange.
TERMINAL_BYTES = 4095
EXCHANGE_BYTES = 1 << 15
# Between two looks at a port that cannot be waited for (Windows, URLs), and two tries to open one.
POLL_S = 0.001
REOPEN_POLL_S = 0.001


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
        self._sent = 0  # bytes of it
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
        return len(self._out) - self._sent

    def exchange(self, timeout: float) -> bytes:
        """Send what can be sent, return what has come; waits up to `timeout` seconds for that, not
        longer than until all is sent.

        Raises OSError when the port is lost.
        """
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self._fd is None:
            return self._exchange_by_polling(timeout)
        deadline = time.monotonic() + timeout
        self._write_fd()
        while True:
            writers = [self._fd] if self.unsent else []
            readable, writable, _ = select.select([self._fd], writers, [], timeout)
            if writable:
                self._write_fd()
            if readable:
                break
            timeout = deadline - time.monotonic()
            if not writers or not self.unsent or timeout <= 0:
                return b""
        data = os.read(self._fd, READ_BYTES)
        if not data:
            raise OSError("the port was closed at its other end")
        pieces, size = [data], len(data)
        while len(pieces[-1]) >= TERMINAL_BYTES and size < EXCHANGE_BYTES:
            try:
                pieces.append(os.read(self._fd, READ_BYTES))
            except OSError:  # nothing is there, or the next exchange finds what it is
                break
            size += len(pieces[-1])
        return b"".join(pieces)

    def _write_fd(self) -> None:
        assert self._fd is not None
        while self.unsent:
            with memoryview(self._out) as view, view[self._sent : self._sent + READ_BYTES] as part:
                try:
                    sent = os.write(self._fd, part)
                except BlockingIOError:
                    return
            self._drop(sent)

    def _drop(self, sent: int) -> None:
        self._sent += sent
        if self.unsent == 0 or self._sent > READ_BYTES:
            del self._out[: self._sent]
            self._sent = 0

    def _exchange_by_polling(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            if self.unsent:
                end = self._sent + READ_BYTES
                self._drop(self.port.write(bytes(self._out[self._sent : end])) or 0)
            if waiting := self.port.in_waiting:
                return bytes(self.port.read(waiting))
            if time.monotonic() >= deadline:
                return b""
            time.sleep(POLL_S)

    def reopen(self, timeout: float) -> None:
        """Open the lost port again; what was to be sent is dropped. Raises OSError in the end."""
        self._drop(self.unsent)
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
