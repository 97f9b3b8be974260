"""The model image: exact round trips, and nothing but ModelError from bad bytes."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared
from test_import_tflite import imported, small_model

from microtrain import image
from microtrain.errors import ModelError
from microtrain.graph import Graph, Kind, Op, Rounding, Tensor
from microtrain.importers import import_model

IMAGE = image.to_bytes(imported(small_model()))


def equal(a: Graph, b: Graph) -> None:
    assert (a.tensors, a.input, a.output, a.metadata) == (b.tensors, b.input, b.output, b.metadata)
    for first, second in zip(a.ops, b.ops, strict=True):
        for name, value in vars(first).items():
            assert np.array_equal(value, getattr(second, name)), (first.name, name)


def test_round_trip() -> None:
    graph = imported(small_model())
    back = image.from_bytes(image.to_bytes(graph))
    assert image.to_bytes(back) == image.to_bytes(graph)
    equal(graph, back)
    assert [op.rounding for op in back.ops] == [Rounding.TWICE, Rounding.TWICE, Rounding.ONCE]


@pytest.mark.parametrize(
    "model", ["mcunet/models_npz/mbv2-w0.35.npz", "models/mlperf-tiny/kws_ref_model.tflite"]
)
def test_round_trip_of_real_models(model: str, tmp_path: Path) -> None:
    graph = import_model(shared(f"data/{model}"))
    data = image.write(graph, tmp_path / "model.mtm")
    back = image.read(tmp_path / "model.mtm")
    assert image.to_bytes(back) == data
    equal(graph, back)


def test_alignment_and_hash() -> None:
    assert len(IMAGE) % 4 == 0
    assert struct.unpack_from("<I", IMAGE, 8)[0] == len(IMAGE)
    assert hashlib.sha256(IMAGE[48:]).digest() == IMAGE[16:48]
    ops_at = struct.unpack_from("<I", IMAGE, 60)[0]
    assert struct.unpack_from("<I", IMAGE, ops_at + 32)[0] % 16 == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-1], "truncated"),
        (lambda d: b"XXXX" + d[4:], "MTMI"),
        (lambda d: d[:4] + b"\x02" + d[5:], "version 2.0"),
        (lambda d: d[:-8] + b"\xff" + d[-7:], "SHA-256"),
        (lambda d: b"", "not a model image"),
    ],
)
def test_damage_is_named(change: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        image.from_bytes(change(IMAGE))  # type: ignore[operator]


def rehashed(data: bytearray) -> bytes:
    data[16:48] = hashlib.sha256(data[48:]).digest()
    return bytes(data)


def survives(data: bytes) -> None:
    try:
        image.to_bytes(image.from_bytes(data))
    except ModelError as error:
        assert str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    survives(data)
    survives(b"MTMI\x01\x00\x00\x00" + data)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(48, len(IMAGE) - 1), st.integers(0, 255)), max_size=3))
def test_changed_bytes_with_a_right_hash(changes: list[tuple[int, int]]) -> None:
    data = bytearray(IMAGE)
    for position, value in changes:
        data[position] = value
    survives(rehashed(data))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.integers(12, 140), st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]))
def test_extreme_words(word: int, value: int) -> None:
    data = bytearray(IMAGE)
    struct.pack_into("<I", data, 4 * word, value)
    survives(rehashed(data))


def test_graphs_the_engine_would_refuse() -> None:
    tensor = Tensor(1, 1, 4, 0.1, 0)
    reshape = Op("a", Kind.RESHAPE, (0,), 1)
    for graph, message in (
        (Graph([tensor], [reshape], 0, 0), "tensor 1 of 1"),
        (Graph([tensor, tensor], [reshape, Op("a", Kind.RESHAPE, (1,), 1)], 0, 1), "twice"),
        (Graph([tensor, tensor], [Op("a", Kind.RESHAPE, (1,), 0)], 0, 1), "before anything"),
        (Graph([tensor, Tensor(1, 1, 5, 0.1, 0)], [reshape], 0, 1), "reshapes 4"),
        (Graph([tensor, Tensor(1, 1, 4, 0.0, 0)], [reshape], 0, 1), "scale 0.0"),
        (Graph([tensor, tensor], [Op("", Kind.RESHAPE, (0,), 1)], 0, 1), "name"),
        (Graph([tensor, tensor], [Op("x" * 64, Kind.RESHAPE, (0,), 1)], 0, 1), "63"),
    ):
        with pytest.raises(ModelError, match=message):
            image.to_bytes(graph)
