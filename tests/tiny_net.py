"""A tiny network and data that it can learn: small enough for every board, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from graphs import Builder
from numpy.typing import NDArray

from microtrain import dataset, image
from microtrain.dataset import Dataset
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind

CLASSES = 4
SHAPE = (6, 6, 3)
CLASS_NAMES = ["north", "east", "south", "west"]


def graph(seed: int = 8) -> Graph:
    """conv 3x3, depthwise 3x3, conv 1x1, average pool 2x2, linear: 4 classes, with labels."""
    build = Builder(np.random.default_rng(seed), *SHAPE, dead_channels=False)
    relu6 = Activation.RELU6
    x = build.conv(0, 8, (3, 3), pad=(1, 1), activation=relu6)
    x = build.depthwise(x, activation=relu6)
    x = build.conv(x, 16, activation=relu6)
    x = build.pool(x, Kind.AVERAGE_POOL, (2, 2), (2, 2))
    build.linear(x, CLASSES)
    build.graph.metadata = {"name": "tiny", "labels": CLASS_NAMES}
    return build.graph


def samples(count: int, seed: int) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """One pattern a class, with noise."""
    patterns = np.random.default_rng(0).normal(0, 40, (CLASSES, *SHAPE))
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.uint16)
    x = patterns[labels] + rng.normal(0, 25, (count, *SHAPE))
    return np.clip(np.rint(x), -128, 127).astype(np.int8), labels


def data(count: int, seed: int) -> Dataset:
    """`count` samples with their classes."""
    tensor = graph().tensors[0]
    x, y = samples(count, seed)
    metadata = {"class_names": CLASS_NAMES}
    return Dataset(x, y, tensor.scale, tensor.zero_point, metadata)


def write_all(folder: Path) -> None:
    """tiny.mtm; other.mtm (the same shapes, other weights); train.mtd and val.mtd (classes);
    vectors.mtd (targets of 4 numbers); plain.mtd (no labels); train.npz and val.npz."""
    image.write(graph(), folder / "tiny.mtm")
    image.write(graph(seed=7), folder / "other.mtm")
    for name, count, seed in (("train", 64, 1), ("val", 40, 2)):
        found = data(count, seed)
        dataset.write(found, folder / f"{name}.mtd")
        np.savez(folder / f"{name}.npz", x=found.samples, y=found.labels)
    train = data(64, 1)
    assert train.labels is not None
    targets = np.eye(CLASSES, dtype=np.float32)[train.labels.astype(int)]
    dataset.write(Dataset(train.samples, targets, train.scale, train.zero_point),
                  folder / "vectors.mtd")
    dataset.write(Dataset(train.samples, None, train.scale, train.zero_point),
                  folder / "plain.mtd")
