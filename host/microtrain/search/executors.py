"""Where the runs of an analysis are done: processes of this machine. The other is ray_cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol

from microtrain.errors import DeviceError
from microtrain.link.virtual import firmware_path
from microtrain.run.train import TrainOptions
from microtrain.search.results import Run
from microtrain.search.worker import worker

Measured = Generator[tuple[Run, float], None, None]


class Executor(Protocol):
    """Does runs, each on a virtual board."""

    def measure(self, options: TrainOptions, runs: Sequence[Run]) -> Measured:
        """Yield runs with their accuracies (0 to 1), as they end. Closing it ends the boards.

        Raises MicrotrainError.
        """
        ...


class Processes:
    """`jobs` virtual boards at a time, each with a process of its own on this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def measure(self, options: TrainOptions, runs: Sequence[Run]) -> Measured:
        """See Executor."""
        firmware_path()  # its error is clearer here than in a worker
        others = multiprocessing.active_children()
        # Spawned: what a forked process would share with the others' boards stays unshared.
        context = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory() as folder:
            pool = ProcessPoolExecutor(
                min(self.jobs, len(runs)), context, _start, (Path(folder), options)
            )
            try:
                futures = {pool.submit(_accuracy, run): run for run in runs}
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise DeviceError(
                    "a process that measures was ended from outside: what is finished is in the "
                    "results"
                ) from error
            except BaseException:
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.terminate()
                raise
            finally:
                pool.shutdown(cancel_futures=True)


_accuracy_here: Callable[[Run], float]  # of a worker's process, once _start() has run


def _start(folder: Path, options: TrainOptions) -> None:
    global _accuracy_here
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own = folder / f"{os.getpid()}"
    own.mkdir()
    _accuracy_here = worker(own, options)


def _accuracy(run: Run) -> float:
    return _accuracy_here(run)
