"""Many virtual boards that one host process drives at once, each in a thread: training runs, one
after the other, whose events are counted."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_net

from microtrain.link import open_device
from microtrain.run.train import Training, TrainOptions

HEAP = 2 << 20


@dataclass
class Found:
    """runs, events: that ended, that came. lost_events: missing, by what the runs report at their
    end, and by their numbers. leaked_descriptors: files open after the boards are closed."""

    boards: int = 0
    runs: int = 0
    events: int = 0
    lost_events: int = 0
    leaked_descriptors: int = 0


class Boards:
    """`count` boards, whose folders and files are in `folder`."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.found = folder, Found(boards=count)
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        tiny_net.write_all(folder)

    def run(self, seconds: float) -> Found:
        """Train on all of them until that time is over. Raises what a board's thread raised."""
        before = _descriptors()
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._board, args=(number, deadline))
            for number in range(self.found.boards)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        self.found.leaked_descriptors = _descriptors() - before
        return self.found

    def _board(self, number: int, deadline: float) -> None:
        try:
            with open_device(folder=self.folder / f"board{number}", heap=HEAP) as device:
                while time.monotonic() < deadline:
                    self._run(device, number)
        except BaseException as error:
            self._errors.append(error)

    def _run(self, device: Any, seed: int) -> None:
        options = TrainOptions(
            model=self.folder / "tiny.mtm", data=self.folder / "train.mtd",
            val=self.folder / "val.mtd", epochs=100, seed=seed, autosave=0.5,
        )  # fmt: skip
        events: list[dict[str, Any]] = []
        done = Training(device, options).run(events.append).done
        samples = sum(event["samples"] for event in events if event["event"] == "step")
        kinds = [event["event"] for event in events]
        lost = (samples != done["steps"]) + 100 - kinds.count("epoch") + 101 - kinds.count("eval")
        with self._lock:
            self.found.runs += 1
            self.found.events += len(events)
            self.found.lost_events += lost


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - its own descriptor is in both counts
