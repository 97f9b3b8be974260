"""The virtual board: MicroPython's unix port with our engine, as a process behind a pty."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO

from microtrain.errors import DeviceError, DeviceTimeout

REPO = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


def firmware_path(bits: int = 64) -> Path:
    """Return the virtual board's program, the 32-bit one if `bits` is 32.

    The environment variables MICROTRAIN_VIRTUAL and MICROTRAIN_VIRTUAL32 override the place where
    `make virtual` and `make virtual32` put it. Raises DeviceError if there is none.
    """
    suffix = "32" if bits == 32 else ""
    override = os.environ.get(f"MICROTRAIN_VIRTUAL{suffix}")
    path = Path(override) if override else REPO / "build" / f"virtual{suffix}" / "micropython"
    if not os.access(path, os.X_OK):
        raise DeviceError(
            f"no virtual board at {path}: run `make virtual{suffix}` in the repository, or set "
            f"MICROTRAIN_VIRTUAL{suffix}"
        )
    return path


class VirtualBoard:
    """A running virtual board. `port` is the path of its serial port.

    folder: the board's file system, created if need be; None is a temporary one, removed at close.
    heap: bytes of the board's garbage-collected heap.
    rom: flash image that holds ROMFS (mounted at /rom), created if need be; None is no ROMFS.
    firmware: the board's program; None is the one that `make virtual` builds.

    The board survives what a board survives: a closed port, Ctrl-C, soft resets. It ends with
    `close()`, at the end of a `with` block, or when the process that started it ends, however.
    Raises DeviceError if it cannot be started.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        heap: int = 64 << 20,
        rom: Path | None = None,
        firmware: Path | None = None,
    ) -> None:
        program = firmware or firmware_path()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="microtrain-board-")
            folder = Path(self._temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        command = [str(program), "--root", str(folder), "--heap", str(heap)]
        if rom is not None:
            command += ["--rom", str(rom)]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            # A session of its own: Ctrl-C in the user's terminal is for the host program, which
            # passes it on over the serial line.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._remove_files()
            raise DeviceError(f"cannot start the virtual board {program}: {error}") from error
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
                raise DeviceTimeout(
                    f"the virtual board did not start within {START_TIMEOUT_S:g} s"
                )
        line = self._process.stdout.readline().decode(errors="replace").strip()
        if not line.startswith("/"):
            self._process.wait(STOP_TIMEOUT_S)
            raise DeviceError(f"the virtual board did not start: {self.errors() or line}")
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
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()

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

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.is_running() else f"ended ({self._process.returncode})"
        return f"<VirtualBoard {self.port} pid {self.pid} {state}>"
