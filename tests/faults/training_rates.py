"""What following a run costs it, and what it costs to have the data on the host.

The demo's network for a watch (25,000 parameters, samples of 600 bytes) on random data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from microtrain import image
from microtrain.importers.onnx import import_onnx
from microtrain.link.ports import open_device
from microtrain.run.train import Training, TrainOptions

NETWORK = Path(__file__).resolve().parents[1] / "demo/watch_cnn.onnx"
POLL_S = 0.002


@dataclass
class Shares:
    """followed: time of a run that a host follows, of one that it has left. streamed: speed of a
    run whose data is on the host, of one with it on the board. Each the median of some pairs."""

    followed: float
    streamed: float


def measure(folder: Path, epochs: int, pairs: int) -> Shares:
    """On virtual boards; `epochs` of 400 samples."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 1, 100, 6)).astype(np.float32)
    graph = import_onnx(NETWORK, x[:50])
    image.write(graph, folder / "watch.mtm")
    np.savez(folder / "data.npz", x=x, y=rng.integers(0, 7, 400))
    options = TrainOptions(
        model=folder / "watch.mtm", data=folder / "data.npz", epochs=epochs, scheme="bias",
        save=folder / "result.mtc", autosave=0,
    )  # fmt: skip
    followed = [
        _seconds(folder, options, follow=True) / _seconds(folder, options, follow=False)
        for _ in range(pairs)
    ]
    streamed = [
        _speed(folder, replace(options, stream=True)) / _speed(folder, options)
        for _ in range(pairs)
    ]
    return Shares(float(np.median(followed)), float(np.median(streamed)))


def _seconds(folder: Path, options: TrainOptions, *, follow: bool) -> float:
    # Until the board has written what it learned, as its folder shows.
    board = folder / f"board{follow}"
    (board / "result.mtc").unlink(missing_ok=True)
    with open_device(folder=board) as device:
        training = Training(device, options)
        stop = device._closers.pop() if not follow else None
        start = time.perf_counter()
        if follow:
            training.run(lambda event: None)
            return time.perf_counter() - start
        training.start()
        device.detach()
        _wait(lambda: (board / "result.mtc").exists())
        seconds = time.perf_counter() - start
        assert stop is not None
        stop()
        return seconds


def _wait(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(POLL_S)


def _speed(folder: Path, options: TrainOptions) -> float:
    with open_device(folder=folder / "board") as device:
        done = Training(device, options).run(lambda event: None).done
    return float(done["samples_per_s"])
