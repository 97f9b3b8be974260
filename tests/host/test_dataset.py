"""Data files: exact round trips, what `microtrain data` accepts, nothing but DataError."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtrain import dataset
from microtrain.data_sources import Target, from_csv, from_images, from_npz
from microtrain.dataset import Dataset
from microtrain.errors import DataError

RANDOM = np.random.default_rng(0)
SAMPLES = RANDOM.integers(-128, 128, (5, 2, 3, 4)).astype(np.int8)
CLASSES = np.array([0, 1, 2, 1, 65535], np.uint16)
VECTORS = RANDOM.normal(size=(5, 7)).astype(np.float32)
FILE = dataset.to_bytes(Dataset(SAMPLES, VECTORS, 0.1, 3, {"source": "test"}))


@pytest.mark.parametrize("labels", [None, CLASSES, VECTORS], ids=["none", "classes", "vectors"])
def test_round_trip(labels: Any, tmp_path: Path) -> None:
    data = Dataset(SAMPLES, labels, 0.5, -128, {"source": "ümlaut"})
    dataset.write(data, tmp_path / "d.mtd")
    back = dataset.read(tmp_path / "d.mtd")
    assert np.array_equal(back.samples, SAMPLES)
    assert (back.labels is None and labels is None) or np.array_equal(back.labels, labels)
    assert (back.scale, back.zero_point, back.metadata) == (0.5, -128, {"source": "ümlaut"})
    assert dataset.to_bytes(back) == (tmp_path / "d.mtd").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "d.mtd"]


def test_layout_is_the_one_specified() -> None:
    raw = dataset.to_bytes(Dataset(SAMPLES, CLASSES, 0.5, -3))
    fields = struct.unpack_from("<4sHHIHHIfbBHIIIIII", raw)
    assert fields[:11] == (b"MTD1", 1, 0, 5, 2, 3, 4, 0.5, -3, 1, 1)
    assert raw[64:74] == CLASSES.tobytes() and fields[12] == 80
    assert raw[80 : 80 + SAMPLES.size] == SAMPLES.tobytes()
    assert zlib.crc32(raw[64:]) == fields[16]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Dataset(SAMPLES[:0], None, 0.1, 0), "int8"),
        (Dataset(SAMPLES.astype(np.int16), None, 0.1, 0), "int16"),
        (Dataset(SAMPLES, CLASSES[:4], 0.1, 0), "4 labels for 5"),
        (Dataset(SAMPLES, None, float("nan"), 0), "scale nan"),
        (Dataset(SAMPLES, None, 0.1, 200), "200"),
        (Dataset(SAMPLES, CLASSES, 0.1, 0, {"class_names": ["a"]}), "label 65535"),
        (Dataset(SAMPLES, VECTORS * np.inf, 0.1, 0), "finite"),
    ],
)
def test_impossible_data_is_refused(data: Dataset, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset.to_bytes(data)


def survives(data: bytes) -> None:
    try:
        dataset.to_bytes(dataset.from_bytes(data))
    except DataError as error:
        assert str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    survives(data)
    survives(b"MTD1" + data)


@pytest.mark.parametrize("length", range(0, len(FILE), 7))
def test_truncation(length: int) -> None:
    with pytest.raises(DataError):
        dataset.from_bytes(FILE[:length])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, change: int) -> None:
    data = bytearray(FILE)
    data[position] ^= change
    if 56 <= position < 64:  # reserved
        return
    with pytest.raises(DataError):
        dataset.from_bytes(bytes(data))


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(4, 51), st.integers(0, 255)), min_size=1, max_size=3))
def test_hostile_headers_with_right_checksums(changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILE)
    for position, value in changes:
        data[position] = value
    struct.pack_into("<I", data, 48, zlib.crc32(data[64:]))
    struct.pack_into("<I", data, 52, zlib.crc32(data[:52]))
    survives(bytes(data))


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "d.npz", **arrays)
    return path / "d.npz"


def test_npz_quantisation(tmp_path: Path) -> None:
    target = Target(0.1, 5)
    pixels = RANDOM.integers(0, 256, (4, 6, 6)).astype(np.uint8)
    data = from_npz(saved(tmp_path, x=pixels, y=np.arange(4)), target)
    assert data.samples.shape == (4, 6, 6, 1)
    assert np.array_equal(data.samples[..., 0], pixels.astype(int) - 128)
    windows = RANDOM.normal(size=(4, 10, 3))
    data = from_npz(saved(tmp_path, x=windows, y=np.eye(4)), target)
    assert data.samples.shape == (4, 1, 10, 3) and data.labels.dtype == np.float32
    expected = np.clip(np.rint(windows / 0.1) + 5, -128, 127)
    assert np.array_equal(data.samples[:, 0], expected)
    data = from_npz(saved(tmp_path, x=SAMPLES), target)
    assert np.array_equal(data.samples, SAMPLES) and data.labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.arange(3)}, "'x'"),
        ({"x": SAMPLES, "y": np.arange(4)}, "4 labels"),
        ({"x": SAMPLES, "y": np.array([-1, 0, 0, 0, 0])}, "-1"),
        ({"x": SAMPLES.astype(np.int32)}, "int32"),
        ({"x": np.full((2, 3), np.nan)}, "NaN"),
        ({"x": np.array([{}, {}], object)}, "plain arrays|one sample a row"),
    ],
)
def test_bad_npz(arrays: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        from_npz(saved(tmp_path, **arrays), Target(0.1, 0))


def test_shape_of_the_model(tmp_path: Path) -> None:
    target = Target(0.1, 0, (1, 10, 3))
    assert from_npz(saved(tmp_path, x=np.zeros((2, 10, 3))), target).samples.shape == (2, 1, 10, 3)
    assert from_npz(saved(tmp_path, x=np.zeros((2, 30))), target).samples.shape == (2, 1, 10, 3)
    with pytest.raises(DataError, match=r"\(3, 10\), the model wants \(1, 10, 3\)"):
        from_npz(saved(tmp_path, x=np.zeros((2, 3, 10))), target)


def test_images(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    for name, value in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        picture = np.full((8, 8, 3), value, np.uint8)
        image_module.fromarray(picture).save(tmp_path / name / "a.png")
    data = from_images(tmp_path, Target(1 / 255, -128, (4, 5, 3)))
    assert data.samples.shape == (2, 4, 5, 3)
    assert data.samples[0].max() == 10 - 128 and data.samples[1].min() == 200 - 128
    assert data.metadata["class_names"] == ["cat", "dog"] and data.labels.tolist() == [0, 1]
    (tmp_path / "dog" / "b.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"b\.png"):
        from_images(tmp_path, Target(1 / 255, -128, (4, 5, 3)))


def test_csv_windows(tmp_path: Path) -> None:
    """Windows stay within one class; 4 rows of sit, 5 of run."""
    rows = [f"{i},{-i},{'sit' if i < 4 else 'run'}" for i in range(9)]
    file = tmp_path / "a.csv"
    file.write_text("\n".join(["ax,ay,label", *rows]))
    data = from_csv(file, Target(1.0, 0), 3, 1, "label", [])
    assert data.samples.shape == (5, 1, 3, 2)
    assert data.metadata["class_names"] == ["run", "sit"]
    assert data.labels.tolist() == [1, 1, 0, 0, 0]
    assert data.samples[0, 0].tolist() == [[0, 0], [1, -1], [2, -2]]
    assert from_csv(file, Target(1.0, 0), 3, 1, "label", ["ay"]).samples.shape == (5, 1, 3, 1)
    for arguments, message in (
        ((file, Target(1.0, 0), 6, 1, "label", []), "6 rows in a row"),
        ((file, Target(1.0, 0), 3, 0, "label", []), "stride 0"),
        ((file, Target(1.0, 0), 3, 1, "class", []), "no column 'class'.*ax, ay, label"),
        ((tmp_path / "b.csv", Target(1.0, 0), 3, 1, "label", []), "No such file"),
    ):
        with pytest.raises(DataError, match=message):
            from_csv(*arguments)
    file.write_text("ax,label\n1,a\nx,a")
    with pytest.raises(DataError, match=r"a\.csv, line 3"):
        from_csv(file, Target(1.0, 0), 1, 1, "label", [])
