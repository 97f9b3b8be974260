"""An analysis on a Ray cluster: the executor that needs no file of this machine elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import microtrain
from microtrain.errors import DeviceError, MicrotrainError
from microtrain.link.virtual import firmware_path
from microtrain.run.train import TrainOptions
from microtrain.search.executors import Measured
from microtrain.search.results import Run
from microtrain.search.worker import worker

FILES = ("model", "data", "val")  # those of TrainOptions
BOARD = "firmware"
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 10.0


class RayCluster:
    """Virtual boards on the machines of a Ray cluster, a CPU each, `jobs` at a time at most.

    address: what ray.init() takes: "local" starts Ray on this machine, "auto" joins the cluster
    that this machine is part of, "HOST:PORT" and "ray://HOST:PORT" name one. jobs: None for all of
    the cluster's CPUs. The package microtrain, the board's program and the files of a run go
    through Ray; what the package imports must be installed there.
    """

    def __init__(self, address: str, jobs: int | None) -> None:
        self.address, self.jobs = address, jobs

    def measure(self, options: TrainOptions, runs: Sequence[Run]) -> Measured:
        """See Executor."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            from ray.exceptions import RayActorError, RayError, RayTaskError
            from ray.util import ActorPool
        except ImportError as error:
            raise MicrotrainError(
                "--ray needs the package ray: pip install 'microtrain[ray]'"
            ) from error
        files = {name: getattr(options, name) for name in FILES} | {BOARD: firmware_path()}
        package = Path(microtrain.__file__).parent
        try:
            self._connect()
            ray.init(
                self.address, runtime_env={"py_modules": [str(package)]},
                log_to_driver=False, logging_level=logging.ERROR,
            )  # fmt: skip
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise DeviceError(f"no Ray cluster at {self.address!r}: {error}") from error
        boards: list[Any] = []
        try:
            contents = {name: ray.put(path.read_bytes()) for name, path in files.items()}
            most = min(len(runs), int(ray.cluster_resources().get("CPU", 0)))
            if most < 1:
                raise DeviceError(f"the Ray cluster at {self.address!r} has no CPU for a board")
            # A second thread, so that close() need not wait for a run to end.
            actor: Any = ray.remote(_Actor)
            actor = actor.options(num_cpus=1, max_concurrency=2)
            names = {name: path.name for name, path in files.items()}
            for _ in range(min(self.jobs or most, most)):
                boards.append(actor.remote(options, names, contents))
            pool: Any = ActorPool(boards)
            yield from pool.map_unordered(lambda board, run: board.measure.remote(run), runs)
        except RayTaskError as error:
            if isinstance(error.cause, MicrotrainError):
                raise error.cause from error
            raise
        except RayActorError as error:
            raise DeviceError(
                "a process of the Ray cluster was lost: what is finished is in the results: "
                f"{error}"
            ) from error
        finally:
            with contextlib.suppress(RayError):
                ray.get([board.close.remote() for board in boards], timeout=CLOSE_TIMEOUT_S)
            ray.shutdown()

    def _connect(self) -> None:
        """Raise OSError or ValueError where nobody answers; Ray would try for minutes."""
        host, colon, port = self.address.removeprefix("ray://").rpartition(":")
        if colon:
            socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()


class _Actor:
    """A process somewhere in the cluster, with its files in a temporary folder until close().

    names and contents: of the files, by what they are. The contents come by reference, so that
    a machine gets them once.
    """

    def __init__(
        self, options: TrainOptions, names: dict[str, str], contents: dict[str, Any]
    ) -> None:
        self.options, self.names, self.contents = options, names, contents
        self.folder = tempfile.TemporaryDirectory(
            prefix="microtrain-ray-", ignore_cleanup_errors=True
        )
        self.accuracy: Callable[[Run], float] | None = None

    def measure(self, run: Run) -> tuple[Run, float]:
        if self.accuracy is None:  # not in __init__, where Ray would hide what it raises
            self.accuracy = self._start()
        return run, self.accuracy(run)

    def close(self) -> None:
        self.folder.cleanup()

    def _start(self) -> Callable[[Run], float]:
        import ray

        paths = {}
        for what, reference in self.contents.items():
            paths[what] = Path(self.folder.name, what, self.names[what])
            paths[what].parent.mkdir()
            paths[what].write_bytes(ray.get(reference))
        paths[BOARD].chmod(0o755)
        os.environ["MICROTRAIN_VIRTUAL"] = str(paths[BOARD])
        files: dict[str, Any] = {what: paths[what] for what in FILES}
        return worker(Path(self.folder.name), replace(self.options, **files))
