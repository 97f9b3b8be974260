"""Training runs whose board loses its power, whose host goes away, or that somebody interrupts at
the board's prompt, again and again until they end: the checkpoint must be that of a run that
nothing happened to."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import serial
import tiny_net

from microtrain.errors import DeviceError
from microtrain.link import Device, VirtualBoard
from microtrain.link.line import Line
from microtrain.run.train import Result, Training, TrainOptions, attach

ACCIDENTS = ("power", "host", "power", "host", "ctrl-c")
SAVE_S = 0.01  # between two autosaves
LONGEST_S = 0.15  # until an accident
HEAP = 2 << 20


def options(folder: Path) -> TrainOptions:
    """The run: momentum, augmentation and a schedule, so that there is something to lose."""
    return TrainOptions(
        model=folder / "tiny.mtm", data=folder / "train.mtd", val=folder / "val.mtd", epochs=12,
        val_every=0, lr=0.05, schedule="cosine", warmup=20, scheme="full", momentum=0.9,
        augment={"flip": 1, "shift": 1}, keep_best=True, accumulate=2, autosave=SAVE_S,
        save=folder / "result.mtc",
    )  # fmt: skip


def sha256_of_plain_run(folder: Path) -> str:
    """The checkpoint of the run that nothing happens to; writes the network and data too."""
    tiny_net.write_all(folder)
    with VirtualBoard(folder / "plain", heap=HEAP) as board, Device(board.port) as device:
        result = Training(device, options(folder)).run(_ignore)
    return str(result.done["checkpoint_sha256"])


class Accident(Exception):
    """The host's program ends here."""


class Run:
    """One run on a board in `folder`; `files` has what a host needs. `accidents` counts them."""

    def __init__(self, folder: Path, files: Path, seed: int) -> None:
        self.folder, self.files = folder, files
        self.random = random.Random(seed)
        self.accidents: Counter[str] = Counter()
        self.board: VirtualBoard | None = None

    def sha256(self, most: int) -> str:
        """The digest of the checkpoint in the end; at most `most` accidents."""
        try:
            while True:
                if self.board is None:
                    self.board = VirtualBoard(self.folder, heap=HEAP)
                if sum(self.accidents.values()) >= most:
                    return str(self._go(self.board, "none").done["checkpoint_sha256"])
                kind = self.random.choice(ACCIDENTS)
                try:
                    return str(self._go(self.board, kind).done["checkpoint_sha256"])
                except (DeviceError, Accident):
                    self.accidents[kind] += 1
                    self._after(kind)
        finally:
            if self.board is not None:
                self.board.close()

    def _go(self, board: VirtualBoard, kind: str) -> Result:
        begun = (self.folder / "microtrain-run.json").exists()
        seconds = LONGEST_S * self.random.random()
        device = Device(board.port, attach=True, ending=board.ending)
        accident = _board_ends if kind == "power" else _host_ends
        try:
            with accident(board, seconds) if kind != "none" else contextlib.nullcontext():
                if not begun:
                    device.attach()
                    result = Training(device, options(self.files)).run(_ignore)
                else:
                    result = attach(device, _ignore, save=self.files / "result.mtc")
        except BaseException:
            # What the end of the host's process leaves: a closed port, and nothing said.
            device._session = None
            device._serial.port.close()
            raise
        assert result is not None
        device.close()
        return result

    def _after(self, kind: str) -> None:
        assert self.board is not None
        if kind == "power":
            self.board.kill()
        if not self.board.is_running():
            self.board.close()
            self.board = None
        elif kind == "ctrl-c":
            # Somebody's terminal, once the board knows that the host has gone.
            with Device(self.board.port, attach=True) as device:
                if device.attach():
                    device.detach()
            with serial.Serial(self.board.port, exclusive=True) as port:
                port.write(b"\x03")
                time.sleep(0.02)


def _ignore(event: dict[str, object]) -> None:
    pass


@contextlib.contextmanager
def _board_ends(board: VirtualBoard, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, board.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextlib.contextmanager
def _host_ends(_: VirtualBoard, seconds: float) -> Iterator[None]:
    # Wherever it is.
    deadline, exchange = time.monotonic() + seconds, Line.exchange

    def fails(line: Line, timeout: float) -> bytes:
        if time.monotonic() > deadline:
            raise Accident
        return exchange(line, min(timeout, 0.01))

    Line.exchange = fails  # type: ignore[method-assign]
    try:
        yield
    finally:
        Line.exchange = exchange  # type: ignore[method-assign]
