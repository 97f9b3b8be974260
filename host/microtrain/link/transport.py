"""A board over its serial port. The only module that imports mpremote."""

from __future__ import annotations

import ast
import binascii
import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.board_code import ABORT, ACKNOWLEDGE, GO_ON, RECEIVE, SEND, STREAM
from microtrain.link.buffered_serial import BufferedSerial
from microtrain.link.port_errors import why_lost, why_not_open

# How long a board may take to answer, unless a caller knows better.
ANSWER_TIMEOUT_S = 10.0
# How long each try to reach the board's prompt may take.
ENTER_TIMEOUTS_S = (2.0, 5.0, 10.0)
# How long one read of the port may wait, and so how fast Ctrl-C on the host is noticed.
READ_SLICE_S = 0.1
# How long a board may take to stop after Ctrl-C: one training step, and no more.
INTERRUPT_TIMEOUT_S = 10.0
# No board prints that much in one line; more means the line is not text.
LINE_MAX = 1 << 20
# Bytes sent ahead of the board's acknowledgement: less than the smallest receive buffer (a UART of
# 256 bytes) on serial ports, plenty on a pty, which loses nothing.
SERIAL_BLOCK = 192
PTY_BLOCK = 8192
# Bytes read from a file on the board and sent as one line of base64.
PULL_BLOCK = 3072

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


class Device:
    """A board in its raw REPL.

    port: path or name of the serial port. baudrate: bits per second, of no meaning over USB.
    reset: soft-reset the board first, so that code starts from an empty heap.
    ending: asked when the port is lost, says what became of the board, "" if nothing is known.

    Every method raises DeviceTimeout if the board does not answer in time, RemoteError with the
    last line of the board's traceback if its code raised, and DeviceError for anything else.
    """

    def __init__(
        self,
        port: str,
        *,
        baudrate: int = 115200,
        reset: bool = True,
        ending: Callable[[], str] | None = None,
    ) -> None:
        self.port = port
        self._ending = ending
        self._closers: list[Callable[[], None]] = []
        try:
            # A read returns at least this often, else mpremote cannot time out on a pty.
            self._transport = SerialTransport(port, baudrate, timeout=READ_SLICE_S)
        except (TransportError, OSError, ValueError) as error:
            raise DeviceError((ending and ending()) or why_not_open(port)) from error
        self._serial = BufferedSerial(self._transport.serial, ANSWER_TIMEOUT_S)
        self._transport.serial = self._serial
        self._ends_seen = 2
        self._block = PTY_BLOCK if self._transport.is_pty else SERIAL_BLOCK
        try:
            self._enter(reset)
        except BaseException:
            self.close()
            raise

    def _enter(self, reset: bool) -> None:
        # A Ctrl-C that arrives while the board boots is lost, and main.py runs: try again.
        self._serial.answer_timeout = READ_SLICE_S
        for patience in ENTER_TIMEOUTS_S:
            # mpremote prints what it could not parse.
            with contextlib.redirect_stdout(io.StringIO()), self._device_errors():
                try:
                    self._transport.enter_raw_repl(soft_reset=reset, timeout_overall=patience)
                    self._serial.answer_timeout = ANSWER_TIMEOUT_S
                    return
                except TransportError:
                    continue
        raise DeviceError(
            f"{self.port}: no answer from MicroPython in {sum(ENTER_TIMEOUTS_S):g} s: is this the "
            "board's port, and is MicroPython on the board?"
        )

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have `closer` called after the port is closed, last first: to stop a virtual board."""
        self._closers.append(closer)

    def reset(self) -> None:
        """Soft-reset the board: an empty heap, all modules forgotten, boot.py run."""
        self._enter(True)

    def exec(
        self,
        code: str,
        on_line: Callable[[str], None] | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Run Python `code` on the board; return what it printed, lines ended by "\\n".

        on_line: called with each line, without its end, as it arrives; "" is then returned.
        timeout: seconds the board may be silent; None waits for ever.

        KeyboardInterrupt on the host stops the code on the board with Ctrl-C, then goes on.
        """
        self._start(code)
        try:
            output = self._read_output(on_line, timeout)
            trace = self._read_rest(timeout)
        except BaseException:
            self._stop()
            raise
        if trace:
            raise _remote_error(trace)
        return output

    def eval(self, expression: str, *, timeout: float | None = 10.0) -> Any:
        """Return the value of `expression`, a Python literal (numbers, strings, lists, ...)."""
        text = self.exec(f"print(repr({expression}))", timeout=timeout)
        try:
            return ast.literal_eval(text.strip())
        except (SyntaxError, ValueError) as error:
            raise DeviceError(f"{self.port}: {expression} is no literal: {text!r}") from error

    def leave(self, code: str) -> None:
        """Run `code` from which the board does not come back, as into boot mode, and close."""
        # The pause lets the line carry what the board still has to say.
        self._start(f"import time\ntime.sleep_ms(200)\n{code}")
        self.close()

    def push(self, local: Path, remote: str, progress: Progress | None = None) -> str:
        """Copy the file `local` to `remote` on the board; return its SHA-256 in hexadecimal.

        The old file, if any, stays as it is until the new one is complete and verified.
        """
        return self.write(remote, local.read_bytes(), progress)

    def write(self, remote: str, data: bytes, progress: Progress | None = None) -> str:
        """Write `data` to the file `remote` on the board, as `push` does."""
        digest = hashlib.sha256(data)
        self.exec(RECEIVE, timeout=ANSWER_TIMEOUT_S)
        call = f"_mt_receive({remote!r}, {len(data)}, {self._block}, {digest.digest()!r})"
        self.stream(call, data, self._block, progress, remote)
        return digest.hexdigest()

    def stream_block(self, limit: int) -> int:
        """Return the largest power of two of bytes that may be sent ahead, at most `limit`."""
        return 1 << (min(self._block, limit).bit_length() - 1)

    def stream(
        self, call: str, data: bytes, block: int, progress: Progress | None, subject: str
    ) -> None:
        """Send `data` in blocks to `call`, an expression that uses _mt_stream() of board_code.

        subject: what an error on the board is about.
        """
        self.exec(STREAM, timeout=ANSWER_TIMEOUT_S)
        self._start(call)
        try:
            sent = 0
            while self._acknowledged() and sent < len(data):
                part = data[sent : sent + block]
                self._send(GO_ON + part)
                sent += len(part)
                if progress is not None:
                    progress(sent, len(data))
            # Reading back and hashing takes a board some seconds a megabyte.
            trace = self._read_rest(hash_timeout(len(data)))
        except BaseException:
            # Fills a block that went out in part, and then says abort. What is too much ends up
            # at the prompt, where _stop() clears it.
            with contextlib.suppress(DeviceError):
                self._send(ABORT * (block + 1))
                self._read_rest(ANSWER_TIMEOUT_S)
            self._stop()
            raise
        if trace:
            raise _remote_error(trace, subject)

    def pull(self, remote: str, local: Path, progress: Progress | None = None) -> str:
        """Copy the file `remote` from the board to `local`; return its SHA-256 in hexadecimal."""
        data = self.read(remote, progress)
        part = local.with_name(local.name + ".part")
        part.write_bytes(data)
        part.replace(local)
        return hashlib.sha256(data).hexdigest()

    def read(self, remote: str, progress: Progress | None = None) -> bytes:
        """Return the content of the file `remote` on the board, verified by SHA-256."""
        try:
            size = self.eval(f"__import__('os').stat({remote!r})[6]")
        except RemoteError as error:
            raise _remote_error(error.traceback, remote) from None
        self.exec(SEND, timeout=ANSWER_TIMEOUT_S)
        blocks: list[bytes] = []
        digest = ""
        done = 0

        def take(line: str) -> None:
            nonlocal digest, done
            if line.startswith("="):
                digest = line[1:].strip()
                return
            blocks.append(binascii.a2b_base64(line))
            done += len(blocks[-1])
            if progress is not None:
                progress(done, size)

        self.exec(f"_mt_send({remote!r}, {PULL_BLOCK})", take, timeout=ANSWER_TIMEOUT_S)
        data = b"".join(blocks)
        if hashlib.sha256(data).hexdigest() != digest:
            raise DeviceError(
                f"{self.port}: {remote} arrived damaged ({len(data)} of {size} bytes)"
            )
        return data

    def close(self) -> None:
        """Leave the raw REPL and close the port. A second call does nothing."""
        if self._serial.is_open:
            with contextlib.suppress(OSError, serial.SerialException):
                self._transport.exit_raw_repl()
            with contextlib.suppress(OSError, serial.SerialException):
                self._transport.close()
            self._serial.close()
        while self._closers:
            self._closers.pop()()

    @contextlib.contextmanager
    def _device_errors(self) -> Iterator[None]:
        try:
            yield
        except (TransportError, OSError, serial.SerialException) as error:
            reason = self._ending() if self._ending else ""
            if not reason and isinstance(error, OSError):
                raise DeviceError(why_lost(self.port, error)) from error
            raise DeviceError(f"{self.port}: {reason or error}") from error

    def _start(self, code: str) -> None:
        with self._device_errors():
            self._transport.exec_raw_no_follow(code)
        self._ends_seen = 0

    def _send(self, data: bytes) -> None:
        with self._device_errors():
            self._serial.write(data)

    def _acknowledged(self) -> bool:
        """Wait for a block's acknowledgement; False if an error message comes instead."""
        with self._device_errors():
            data = self._serial.read_some(ANSWER_TIMEOUT_S)
        acknowledged = data[:1] == ACKNOWLEDGE
        self._serial.unread(data[1:] if acknowledged else data)
        return acknowledged

    def _read_part(self, timeout: float | None) -> Iterator[bytes]:
        """Yield what the board sends up to the next 0x04, which ends output and error text."""
        while True:
            with self._device_errors():
                data = self._serial.read_some(timeout)
            end = data.find(b"\x04")
            if end >= 0:
                self._serial.unread(data[end + 1 :])
                self._ends_seen += 1
                yield data[:end]
                return
            yield data

    def _read_output(
        self, on_line: Callable[[str], None] | None, timeout: float | None
    ) -> str:
        if on_line is None:
            output = b"".join(self._read_part(timeout))
            return output.decode(errors="replace").replace("\r\n", "\n")
        rest = b""
        for data in self._read_part(timeout):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line.removesuffix(b"\r").decode(errors="replace"))
            if len(rest) > LINE_MAX:
                raise DeviceError(f"{self.port}: {len(rest)} bytes came without a line end")
        if rest:
            on_line(rest.decode(errors="replace"))
        return ""

    def _read_rest(self, timeout: float | None) -> str:
        """Drop what is still printed, return the traceback, "" if there is none."""
        trace = ""
        while self._ends_seen < 2:
            trace = b"".join(self._read_part(timeout)).decode(errors="replace")
        return trace

    def _stop(self) -> None:
        """Interrupt the code on the board, if it still runs, and wait until it has stopped."""
        with contextlib.suppress(DeviceError):
            self._send(b"\x03")
            self._read_rest(INTERRUPT_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Device {self.port}>"


def hash_timeout(size: int) -> float:
    """Return how long, in seconds, a board may take to read and hash `size` bytes."""
    return ANSWER_TIMEOUT_S + size / 50_000


def _remote_error(trace: str, subject: str = "") -> RemoteError:
    trace = trace.replace("\r\n", "\n").strip()
    message = trace.splitlines()[-1]
    return RemoteError(f"{subject}: {message}" if subject else message, trace)
