"""CIFAR-10 is read from files shaped like the package's."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cifar10
from registry import DataError


def package(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def png(rows: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(rows).save(data, "PNG")
    return data.getvalue()


def test_reader(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (20, 10))
    labels = rng.integers(0, 10, 50).tolist()  # of five files, of which one is read
    files = {
        "package.json": b"{}",
        "data_batch_1.png": png(train.reshape(20, 1024, 3)),
        "test_batch.png": png(test.reshape(10, 1024, 3)),
        "test_lables.json": json.dumps(labels[:10]).encode(),
        "train_lables.json": json.dumps(labels).encode(),
    }
    parts = cifar10.read(package(tmp_path / "whole.tgz", files))
    for part, expected in (("train", train), ("test", test)):
        x, y = parts[part]
        np.testing.assert_array_equal(x, expected)
        assert y.tolist() == labels[: len(x)]
    files["test_batch.png"] = png(test.reshape(10 * 32, 32, 3))
    with pytest.raises(DataError, match=r"test_batch\.png has shape \(320, 32, 3\)"):
        cifar10.read(package(tmp_path / "other.tgz", files))
    del files["train_lables.json"]
    with pytest.raises(DataError, match=r"no train_lables\.json"):
        cifar10.read(package(tmp_path / "part.tgz", files))


def test_balanced_rows() -> None:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 8))
    rows = cifar10.balanced(y, 5, seed=3)
    assert np.bincount(y[rows]).tolist() == [5] * 10 and len(set(rows)) == 50
    assert cifar10.balanced(y, 5, seed=3).tolist() == rows.tolist()
    with pytest.raises(ValueError, match="9 of each class: of one there are 8"):
        cifar10.balanced(y, 9, seed=3)
