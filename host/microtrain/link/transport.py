"""A board over its serial port. The only module that imports mpremote."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from microtrain.errors import BoardReset, DeviceError, DeviceTimeout, RemoteError
from microtrain.files import write_atomically
from microtrain.link.buffered_serial import BufferedSerial
from microtrain.link.frame import PAYLOAD_MAX
from microtrain.link.line import Line
from microtrain.link.part import Part
from microtrain.link.port_errors import why_lost, why_not_open
from microtrain.link.session import AWAY_S, Board, Progress, Session
from microtrain.link.transfer import get, put, put_rom
from microtrain.link.usb import has_flow_control

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
# Bytes of a message where a busy board loses what does not fit its receive buffer (a UART of 256
# bytes), and everywhere else; messages under way.
SERIAL_BLOCK = 192
BLOCK, WINDOW = PAYLOAD_MAX, 32
# A pty that is gone does not come back: what then has its name is another one.
PTYS = "/dev/pts/"
# How long a board that trains may take to answer a host that comes back: some steps.
ATTACH_S = 10.0
SERVE = "from microtrain import link\nlink.serve()"
# A line is settled when nothing has come for so long; looked at so many times.
SETTLE_S, SETTLE_TIMES = 0.15, 100
# How long to look for a link that a host has left open.
END_LINK_S = 1.0
# Resets of the board that one transfer outlives.
RESETS = 3

T = TypeVar("T")


class Device:
    """A board on a serial port: code through its raw REPL, files and runs over its link.

    port: path or name of the serial port. baudrate: bits per second, of no meaning over USB.
    reset: soft-reset the board first, so that code starts from an empty heap.
    ending: asked when the port is lost, says what became of the board, "" if nothing is known.
    attach: do nothing to the board but open its port; attach() or reset() comes next.

    `board`: what the board says of itself once it is linked. `on_text` gets what code on the board
    prints meanwhile, `on_notice` what a person should know: that the port is lost and waited for.

    Methods block, and belong to one thread at a time: several boards take a thread each, and
    asyncio `await asyncio.to_thread(device.push, path, "/name")`.

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
        attach: bool = False,
    ) -> None:
        self.port = port
        self.board: Board | None = None
        self.on_text: Callable[[str], object] | None = None
        self.on_notice: Callable[[str], object] | None = None
        self._baudrate = baudrate
        self._session: Session | None = None
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
        try:
            if not attach:
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
                    pass
            self._end_link()
            self._settle()
        raise DeviceError(
            f"{self.port}: no answer from MicroPython in {sum(ENTER_TIMEOUTS_S):g} s: is this the "
            "board's port, and is MicroPython on the board?"
        )

    def _end_link(self) -> None:
        """A board whose host ended without a word takes Ctrl-C for data, for a while: end that.
        Raises DeviceError where it trains."""
        session = self._new_session()
        try:
            run = session.join(END_LINK_S).run
        except BoardReset:
            return
        finally:
            self._serial.use(self._line.port)
        session.leave()
        if run and not run["ended"]:
            self._line.port.close()
            raise DeviceError(
                f"{self.port}: the board is training: `microtrain attach` follows it, "
                "`microtrain attach --stop` ends it"
            )

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have `closer` called after the port is closed, last first: to stop a virtual board."""
        self._closers.append(closer)

    def reset(self) -> None:
        """Soft-reset the board: an empty heap, all modules forgotten, boot.py run."""
        self._leave()
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

    # ---- over the link ----

    @property
    def session(self) -> Session:
        """The session with the board's microtrain.link, which is started if need be; the next
        exec(), eval() or reset() ends it. Raises DeviceError, RemoteError."""
        if self._session is None:
            try:
                self._start(SERVE)
            except DeviceError:
                # What the board still answered to something before, as to a reset, was taken for
                # its answer.
                self._settle()
                self._enter(False)
                self._start(SERVE)
            self._session = session = self._new_session()
            try:
                self.board = session.join()
            except BoardReset as error:
                self.rejoin()
                raise self._why_no_link(error, session.tail) from error
            except BaseException:
                self._session = None
                raise
        return self._session

    def attach(self) -> bool:
        """Whether the board runs something that a host has left: `session` is then with that, and
        nothing was interrupted. Otherwise the board is at its raw REPL's prompt."""
        self._session = session = self._new_session()
        try:
            self.board = session.join(ATTACH_S)
        except BoardReset:
            self.rejoin()
        return self._session is not None

    def detach(self) -> None:
        """Close the port and leave the board to what it runs."""
        if self._session is not None:
            self._session.leave(to_prompt=False)
            self._session = None
        self._line.port.close()
        self._serial.use(self._line.port)
        self.close()

    def _new_session(self) -> Session:
        self._line = Line(self._serial.port, self._serial.take(), self._open)
        gentle = not self._is_pty and not has_flow_control(self.port)
        block, window = (SERIAL_BLOCK, 1) if gentle else (BLOCK, WINDOW)
        self._printed = ""
        return Session(
            self.port, self._line, on_text=self._print, block=block, window=window,
            ending=self._ending, on_notice=self._notice,
            away=0 if self.port.startswith(PTYS) else AWAY_S,
        )  # fmt: skip

    @property
    def _is_pty(self) -> bool:
        return str(Path(self.port).resolve()).startswith(PTYS)

    def _notice(self, text: str) -> None:
        if self.on_notice is not None:
            self.on_notice(text)

    def _open(self) -> serial.Serial:
        if self.port.startswith(PTYS):
            raise OSError(f"{self.port} is gone")
        return serial.serial_for_url(
            self.port, self._baudrate, timeout=READ_SLICE_S, exclusive=True
        )

    def _print(self, text: str) -> None:
        self._printed = (self._printed + text)[-LINE_MAX:]
        if self.on_text is not None and self._session is not None and self._session.joined:
            self.on_text(text)

    def _why_no_link(self, error: BoardReset, tail: bytes) -> DeviceError:
        # What came is the end of the raw REPL's answer: 0x04, a traceback, 0x04.
        _, _, trace = (self._printed + tail.decode(errors="replace")).partition("Traceback")
        if trace:
            return _remote_error("Traceback" + trace.split("\x04")[0])
        return error

    def _leave(self) -> None:
        """Have the board at its raw REPL's prompt."""
        if self._session is not None:
            session, self._session = self._session, None
            session.leave()
            self._serial.use(self._line.port)
            self._enter(False)

    def linked(self, do: Callable[[Session], T], subject: str = "") -> T:
        """Return do(session); again, with a new session, where the board was reset meanwhile.

        subject: what an error on the board is about.
        """
        for _ in range(RESETS):
            try:
                return do(self.session)
            except BoardReset:
                self.rejoin()
            except RemoteError as error:
                if subject:
                    raise _remote_error(error.traceback, subject) from error
                raise
            except KeyboardInterrupt:
                with contextlib.suppress(DeviceError):
                    self._leave()
                raise
        return do(self.session)

    def rejoin(self) -> None:
        """After BoardReset: have the board at its raw REPL's prompt. Raises DeviceError."""
        self._session = None
        self._serial.use(self._line.port)
        self._settle()
        self._enter(False)

    def _settle(self) -> None:
        # What a board still answers to HELLO must not be taken for answers to what comes next.
        with self._device_errors():
            self._serial.write(b"\r\x03")
            with contextlib.suppress(DeviceTimeout):
                for _ in range(SETTLE_TIMES):
                    self._serial.read_some(SETTLE_S)

    def push(self, local: Path, remote: str, progress: Progress | None = None) -> str:
        """Copy the file `local` to `remote` on the board; return its SHA-256 in hexadecimal.

        The old file, if any, stays as it is until the new one is complete and verified. What an
        earlier try with the same content left is used again.
        """
        return self.write(remote, local.read_bytes(), progress)

    def write(self, remote: str, data: bytes, progress: Progress | None = None) -> str:
        """Write `data` to the file `remote` on the board, as `push` does."""
        return self.linked(lambda session: put(session, remote, data, progress), remote)

    def write_rom(
        self, offset: int, data: bytes, block: int, progress: Progress | None = None
    ) -> None:
        """Write whole blocks to the flash of the board's ROMFS."""
        self.linked(lambda session: put_rom(session, offset, data, block, progress), "ROMFS")

    def pull(self, remote: str, local: Path, progress: Progress | None = None) -> str:
        """Copy the file `remote` from the board to `local`; return its SHA-256 in hexadecimal.

        The old file, if any, stays as it is until the new one is complete and verified. What an
        earlier, unfinished pull of `remote` left beside it is used again.
        """
        with Part(local, remote) as part:

            def do(session: Session) -> bytes:
                return get(session, remote, progress, begin=part.content(), keep=part.keep)

            data = self.linked(do, remote)
            write_atomically(local, data)
            part.remove()
        return hashlib.sha256(data).hexdigest()

    def read(self, remote: str, progress: Progress | None = None) -> bytes:
        """Return the content of the file `remote` on the board, verified by SHA-256."""
        return self.linked(lambda session: get(session, remote, progress), remote)

    def close(self) -> None:
        """Leave the raw REPL and close the port. A second call does nothing.

        What a host started and left to itself with detach() goes on.
        """
        if self._session is not None:
            self._serial.use(self._line.port)  # it may have been opened anew
        if self._serial.is_open:
            with contextlib.suppress(DeviceError):
                self._leave()
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
        self._leave()
        with self._device_errors():
            self._transport.exec_raw_no_follow(code)
        self._ends_seen = 0

    def _send(self, data: bytes) -> None:
        with self._device_errors():
            self._serial.write(data)

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


def _remote_error(trace: str, subject: str = "") -> RemoteError:
    trace = trace.replace("\r\n", "\n").strip()
    message = trace.splitlines()[-1]
    return RemoteError(f"{subject}: {message}" if subject else message, trace)
