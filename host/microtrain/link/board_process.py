"""A board that is a process: it prints the path of its serial port, and serves it until its
standard input closes."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Self

from microtrain.errors import DeviceError, DeviceTimeout
from microtrain.link.lock_holder import lock_holder

REPO = Path(__file__).resolve().parents[3]
BRIDGE = Path(__file__).with_name("pty_bridge.py")
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
# How long to wait for another board to leave the folder: longer than one takes to stop.
LOCK_TIMEOUT_S = 6.0
LOCK_POLL_S = 0.05
# How long a board may take to end once it has lost its port.
END_TIMEOUT_S = 1.0
# Bytes of the end of its standard error that an error message quotes.
LAST_WORDS = 300


class BoardProcess:
    """A running board in software. `port` is the path of its serial port.

    what: the board's name in messages. command: the program and its arguments, to which `{folder}`
    may refer. folder: where the board keeps its files, created if need be; None is a temporary
    one, removed at close.

    The board survives what a board survives: a closed port, Ctrl-C, soft resets. It ends with
    `close()`, at the end of a `with` block, or when the process that started it ends, however.
    While it runs the folder is its own.
    Raises DeviceError if it cannot be started, or if another board keeps the folder.
    """

    def __init__(self, what: str, command: list[str], folder: Path | None) -> None:
        self._what = what
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="microtrain-board-")
            folder = Path(self._temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder = folder.resolve()
        lock = _lock(folder)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            # A session of its own: Ctrl-C in the user's terminal is for the host program, which
            # passes it on over the serial line.
            self._process = subprocess.Popen(
                [part.replace("{folder}", str(folder)) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                pass_fds=[lock],
            )
        except OSError as error:
            self._remove_files()
            raise DeviceError(f"cannot start {what} {command[0]}: {error}") from error
        finally:
            # From here on the board's process alone holds it, and so for exactly as long as it
            # lives.
            os.close(lock)
        try:
            self.port = self._read_port()
        except BaseException:
            self.close()
            raise

    def _read_port(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(START_TIMEOUT_S):
                raise DeviceTimeout(f"{self._what} did not start within {START_TIMEOUT_S:g} s")
        line = self._process.stdout.readline().decode(errors="replace").strip()
        if not line.startswith("/"):
            self._process.wait(STOP_TIMEOUT_S)
            raise DeviceError(f"{self._what} did not start: {self.errors() or line}")
        return line

    @property
    def pid(self) -> int:
        """Process id of the board."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether the board's process lives."""
        return self._process.poll() is None

    def errors(self) -> str:
        """Return what the board's process has written to standard error, as when it crashed."""
        # The process writes where this descriptor's position is: read without moving it.
        descriptor = self._errors.fileno()
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        return data.decode(errors="replace").strip()

    def ending(self) -> str:
        """Return how the board's process ended and its last words, "" if it still runs."""
        try:
            code = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ""
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        elif code == 0:
            how = "was switched off (its standard input was closed)"
        else:
            how = f"ended with exit code {code}"
        words = " | ".join(self.errors()[-LAST_WORDS:].splitlines())
        return f"{self._what}, process {self.pid}, {how}: {words or 'it wrote no message'}"

    def kill(self) -> None:
        """Cut the board's power: no finaliser runs, no file is flushed."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Stop the board and free everything. A second call does nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        # Its closed standard input tells the board to stop.
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._remove_files()

    def _remove_files(self) -> None:
        self._errors.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.is_running() else f"ended ({self._process.returncode})"
        return f"<{type(self).__name__} {self.port} pid {self.pid} {state}>"


class EmulatorProcess(BoardProcess):
    """A board whose program is an emulator that has the serial line as its standard input and
    output, and runs in the board's folder. Otherwise as BoardProcess."""

    def __init__(self, what: str, command: list[str], folder: Path | None) -> None:
        super().__init__(what, [sys.executable, str(BRIDGE), "{folder}", *command], folder)


def _lock(folder: Path) -> int:
    """Lock the folder; return the descriptor that holds the lock. Raises DeviceError."""
    lock = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(LOCK_POLL_S)
                continue
            problem = f"{lock_holder(os.fstat(lock).st_ino)} runs a board on it: wait for it"
        except OSError as error:
            problem = f"cannot lock it: {error.strerror}"
        os.close(lock)
        raise DeviceError(
            f"board folder {folder}: {problem}, or set MICROTRAIN_BOARD_FOLDER to another folder"
        )
