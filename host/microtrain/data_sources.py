"""Make data sets from what people have: `.npz` arrays, folders of images, CSV recordings.

Samples are channels-last everywhere: (N, h, w, c) for images, (N, w, c) for windows of a signal.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.dataset import Dataset
from microtrain.errors import DataError
from microtrain.graph import Graph

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm"})


@dataclass(frozen=True)
class Target:
    """What samples are made for: the quantisation and, if known, the shape of a model's input."""

    scale: float
    zero_point: int
    shape: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, graph: Graph) -> Target:
        """The input of a model."""
        tensor = graph.tensors[graph.input]
        return cls(tensor.scale, tensor.zero_point, tensor.shape)

    def quantize(self, real: NDArray[Any]) -> NDArray[np.int8]:
        """int8 of real values: round(real / scale) + zero point, saturated."""
        if not np.isfinite(real).all():
            raise DataError("samples contain NaN or infinity")
        q = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        return np.clip(q, -128, 127).astype(np.int8)

    def shaped(self, x: NDArray[Any]) -> NDArray[Any]:
        """`x` as (N, h, w, c); raises DataError where it does not fit the model."""
        if self.shape is not None:
            if x[0].size == np.prod(self.shape) and _compatible(x.shape[1:], self.shape):
                return x.reshape(-1, *self.shape)
            raise DataError(f"samples have the shape {x.shape[1:]}, the model wants {self.shape}")
        if x.ndim == 4:
            return x
        if x.ndim == 3 and x.dtype == np.uint8:
            return x[..., np.newaxis]  # grey images
        if x.ndim in (2, 3):
            return x.reshape(len(x), 1, -1, x.shape[2]) if x.ndim == 3 else x[:, None, None]
        raise DataError(f"x has {x.ndim} dimensions; (N, h, w, c), (N, w, c) or (N, c) needed")


def _compatible(given: tuple[int, ...], wanted: tuple[int, int, int]) -> bool:
    """Same dimensions apart from ones, or flat."""
    return len(given) == 1 or [v for v in given if v != 1] == [v for v in wanted if v != 1]


def quantized(x: NDArray[Any], target: Target) -> NDArray[np.int8]:
    """int8 samples: uint8 pixels become pixel - 128, int8 stays, floats are in real units."""
    if x.dtype == np.uint8:
        return (x.astype(np.int16) - 128).astype(np.int8)
    if x.dtype == np.int8:
        return x
    if x.dtype.kind == "f":
        return target.quantize(x)
    raise DataError(f"x is {x.dtype}; uint8 (pixels), int8 (quantised) or float (real) needed")


def from_npz(path: Path, target: Target) -> Dataset:
    """`x` and, where present, `y` (class indices or float target vectors) and `class_names`."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {k: arrays[k] for k in ("x", "y", "class_names") if k in arrays.files}
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz of plain arrays: {error}") from error
    if "x" not in found or found["x"].ndim < 2 or found["x"].size == 0:
        raise DataError(f"{path}: needs an array 'x' with one sample a row")
    names = [str(name) for name in found.get("class_names", [])]
    data = Dataset(
        quantized(target.shaped(found["x"]), target),
        _labels(found.get("y")),
        target.scale,
        target.zero_point,
        {"source": path.name} | ({"class_names": names} if names else {}),
    )
    data.validate()
    return data


def _labels(y: NDArray[Any] | None) -> NDArray[Any] | None:
    if y is None:
        return None
    if y.dtype.kind == "f":
        return y.reshape(len(y), -1).astype(np.float32)
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise DataError(f"y is {y.dtype} {y.shape}; class indices (N,) or float vectors needed")
    if y.size and (y.min() < 0 or y.max() > 0xFFFF):
        raise DataError(f"class labels go from {y.min()} to {y.max()}; 0 to 65535 is possible")
    return y.astype(np.uint16)


def from_images(
    folder: Path, target: Target, progress: Callable[[int, int], object] | None = None
) -> Dataset:
    """One folder a class, in order of their names; images are resized to the model's input.

    `progress` is called with the numbers of images read and of all.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DataError(
            "reading images needs the package 'pillow': pip install 'microtrain[images]'"
        ) from error
    if target.shape is None or target.shape[2] not in (1, 3):
        raise DataError("images need --model, whose input has 1 or 3 channels, to know their size")
    h, w, c = target.shape
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    files = [
        (label, path)
        for label, name in enumerate(classes)
        for path in sorted(p for p in name.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    ]
    samples = []
    for _, path in files:
        try:
            with Image.open(path) as picture:
                resized = picture.convert("L" if c == 1 else "RGB").resize(
                    (w, h), Image.Resampling.BILINEAR
                )
        except (OSError, UnidentifiedImageError, ValueError) as error:
            raise DataError(f"{path}: not a readable image: {error}") from error
        samples.append(np.asarray(resized, np.uint8).reshape(h, w, c))
        if progress is not None:
            progress(len(samples), len(files))
    if not samples:
        raise DataError(f"{folder}: no images; make one folder for each class, with images inside")
    names = [p.name for p in classes]
    data = Dataset(
        quantized(np.stack(samples), target),
        np.array([label for label, _ in files], np.uint16),
        target.scale,
        target.zero_point,
        {"source": folder.name, "class_names": names},
    )
    data.validate()
    return data


def from_csv(
    path: Path, target: Target, window: int, stride: int, label: str, columns: list[str]
) -> Dataset:
    """Windows of `window` rows every `stride` rows of one CSV file, or of each in a folder.

    `label` names the column of classes; a window never crosses a change of class. `columns` are
    the channels, in real units (default: all others). Samples become (1, window, channels).
    """
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no .csv files")
    if window < 1 or stride < 1:
        raise DataError(f"window {window} and stride {stride} must be at least 1")
    samples: list[NDArray[Any]] = []
    classes: list[str] = []
    for file in files:
        values, names = _read_csv(file, label, columns)
        starts = [0, *np.flatnonzero(names[1:] != names[:-1]) + 1, len(names)]
        for begin, end in pairwise(starts):
            for at in range(begin, end - window + 1, stride):
                samples.append(values[at : at + window])
                classes.append(str(names[at]))
    if not samples:
        raise DataError(f"{path}: no class has {window} rows in a row: use a shorter --window")
    class_names = sorted(set(classes))
    index = {name: i for i, name in enumerate(class_names)}
    data = Dataset(
        target.quantize(target.shaped(np.stack(samples))),
        np.array([index[name] for name in classes], np.uint16),
        target.scale,
        target.zero_point,
        {"source": path.name, "class_names": class_names, "window": window, "stride": stride},
    )
    data.validate()
    return data


def _read_csv(path: Path, label: str, columns: list[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            header = list(rows.fieldnames or [])
            used = columns or [name for name in header if name != label]
            if missing := [name for name in (label, *used) if name not in header]:
                raise DataError(
                    f"{path}: no column {missing[0]!r}; it has: {', '.join(map(str, header))}"
                )
            values, names = [], []
            for number, row in enumerate(rows, 2):
                try:
                    values.append([float(row[name]) for name in used])
                except (TypeError, ValueError) as error:
                    raise DataError(f"{path}, line {number}: {error}") from None
                names.append(str(row[label]))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from error
    if not values:
        raise DataError(f"{path}: no rows")
    return np.array(values, np.float64), np.array(names)
