"""Two real image classification tasks, in the input quantisation of MCUNetV3's backbones."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "data"))

import backbones  # noqa: E402
import cifar10  # noqa: E402

Rows = NDArray[np.int64]
TUNING_SHARE = 0.2  # of the rows to train with, on which learning rates are compared


@dataclass(frozen=True)
class Split:
    """Rows of a task to train with and to measure on; disjoint."""

    train: Rows
    test: Rows


@dataclass(frozen=True)
class Task:
    """Samples (n, h, w, c), int8 in the network's input quantisation, and their class labels."""

    name: str
    x: NDArray[np.int8]
    y: NDArray[np.int64]
    classes: int
    split: Split

    def tuning(self) -> Split:
        """For choosing a learning rate: rows to train with alone, the last of them to measure."""
        rows = self.split.train
        count = round(len(rows) * (1 - TUNING_SHARE))
        return Split(rows[:count], rows[count:])


def enlarged(pixels: NDArray[np.uint8], resolution: int) -> NDArray[np.int8]:
    """Square images (n, s, s, 3) with pixels repeated to `resolution`, as int8."""
    columns = np.arange(resolution) * pixels.shape[1] // resolution
    return (pixels[:, columns][:, :, columns].astype(np.int16) - 128).astype(np.int8)


def signs(resolution: int = 128) -> Task:
    """Ten hand signs, one fixed split: 1,000 photos to train, 1,062 to test.

    Needs the reference folder. Raises OSError.
    """
    with np.load(backbones.REFERENCE / "data/datasets/sign_digits_64rgb.npz") as z:
        x, y = enlarged(z["x"], resolution), z["y"].astype(np.int64)
    rows = np.random.default_rng(2026).permutation(len(x))
    return Task("sign_digits", x, y, 10, Split(rows[:1000], rows[1000:]))


def cifar(resolution: int = 128) -> Task:
    """A fixed 5,000 images of CIFAR-10, each class the same number of times: 4,000 of the training
    images, 1,000 of the test images. Raises DataError where npm cannot get the data."""
    with np.load(cifar10.fetch()) as z:
        train, test = cifar10.balanced(z["y_train"], 400, 2026), cifar10.balanced(
            z["y_test"], 100, 2026
        )
        pixels = np.concatenate([z["x_train"][train], z["x_test"][test]])
        y = np.concatenate([z["y_train"][train], z["y_test"][test]])
    rows = np.arange(len(y))
    return Task("cifar10", enlarged(pixels, resolution), y, 10, Split(rows[:4000], rows[4000:]))


TASKS = {"sign_digits": signs, "cifar10": cifar}
