"""Whatever bytes a file holds, the host's parsers read it or raise what they say, nothing else.

Checksums are made right, as a hostile writer would. The parser of .tflite has its own such tests
in test_import_tflite.py.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import tiny_net
from hypothesis import given, settings
from hypothesis import strategies as st

from microtrain import checkpoint, dataset, image, signature
from microtrain.dataset import Dataset
from microtrain.errors import (
    CheckpointError,
    ConversionError,
    DataError,
    DeviceError,
    MicrotrainError,
    ModelError,
    SchemeError,
)
from microtrain.flash import uf2
from microtrain.importers.onnx import read_float_graph
from microtrain.scheme import load_scheme

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GRAPH = tiny_net.graph()


def _image() -> bytes:
    return signature.sign(image.to_bytes(GRAPH), bytes(32))


def _image_sums(data: bytearray) -> None:
    if len(data) >= 96:
        length = min(max(96, struct.unpack_from("<I", data, 8)[0]), len(data))
        struct.pack_into("<I", data, 8, length)
        data[16:48] = hashlib.sha256(data[48:length]).digest()


def _checkpoint_sums(data: bytearray) -> None:
    if len(data) > 128:
        about, state = struct.unpack_from("<II", data, 8)
        if 64 + about + state + 32 != len(data):
            struct.pack_into("<II", data, 8, min(about, len(data) - 96), 0)
            about = struct.unpack_from("<I", data, 8)[0]
            struct.pack_into("<I", data, 12, len(data) - 96 - about)
        data[64:93] = b'{"header_crc32": "%08x", ' % zlib.crc32(data[:64])
        data[-32:] = hashlib.sha256(data[:-32]).digest()


def _dataset() -> bytes:
    data = tiny_net.data(4, 1)
    assert data.labels is not None
    vectors = np.eye(4, dtype=np.float32)
    return dataset.to_bytes(
        Dataset(data.samples, vectors, data.scale, data.zero_point, {"class_names": ["a"]})
    )


def _dataset_sums(data: bytearray) -> None:
    if len(data) > 64:
        header = dataset._HEADER.size
        fields = list(dataset._HEADER.unpack_from(data))
        fields[-2], fields[-1] = len(data), zlib.crc32(data[64:])
        dataset._HEADER.pack_into(data, 0, *fields)
        struct.pack_into("<I", data, header, zlib.crc32(data[:header]))


def _uf2() -> bytes:
    blocks = b""
    for number in range(2):
        head = struct.pack(
            "<8I", *uf2.MAGIC_START, uf2.FAMILY_PRESENT, uf2.FLASH_BASE + 256 * number, 256,
            number, 2, uf2.FAMILIES["rp2040"],
        )  # fmt: skip
        blocks += head + bytes(476) + struct.pack("<I", uf2.MAGIC_END)
    return blocks


def _onnx() -> bytes:
    net = onnx_models.Net([1, 3, 6, 6])
    net.add("Conv", net.weights(4, 3, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    net.add("Relu")
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.add("Flatten")
    net.add("Gemm", net.weights(5, 36), net.weights(5), transB=1)
    data: bytes = net.model().SerializeToString()
    return data


def _from_file(read: Callable[[Path], object], suffix: str) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix}"
            path.write_bytes(data)
            return read(path)

    return parse


def _nothing(data: bytearray) -> None:
    pass


PARSERS: dict[str, tuple[Any, bytes, Callable[[bytearray], None], type[MicrotrainError]]] = {
    "image": (image.from_bytes, _image(), _image_sums, ModelError),
    "checkpoint": (
        checkpoint.from_bytes, (GOLDEN / "1.1.mtc").read_bytes(), _checkpoint_sums, CheckpointError
    ),
    "dataset": (dataset.from_bytes, _dataset(), _dataset_sums, DataError),
    "uf2": (lambda data: uf2.parse(data, "rp2040"), _uf2(), _nothing, DeviceError),
    "onnx": (_from_file(read_float_graph, ".onnx"), _onnx(), _nothing, ConversionError),
}  # fmt: skip
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["byte", "word", "insert", "delete"]), st.floats(0, 1, exclude_max=True),
        st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
        | st.integers(0, 2**32 - 1),
    ),
    max_size=6,
)  # fmt: skip


def changed(data: bytes, changes: list[tuple[str, float, int]]) -> bytearray:
    """Half of the changes fall into the first 256 bytes, where headers are."""
    found = bytearray(data)
    for kind, where, value in changes:
        most = max(1, min(len(found), 256 if value & 1 else len(found)))
        at = int(where * most)
        if kind == "byte" and found:
            found[at] = value & 0xFF
        elif kind == "word":
            found[at : at + 4] = struct.pack("<I", value)
        elif kind == "insert":
            found[at:at] = bytes([value & 0xFF]) * (1 + value % 40)
        else:
            del found[at : at + 1 + value % 40]
    return found


@pytest.mark.parametrize("name", PARSERS)
def test_valid_as_it_is(name: str) -> None:
    parse, valid, sums, _ = PARSERS[name]
    parse(valid)
    again = bytearray(valid)
    sums(again)
    parse(bytes(again))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=400, deadline=None, derandomize=True)
@given(changes=CHANGES, right=st.booleans())
def test_changed_files(name: str, changes: list[tuple[str, float, int]], right: bool) -> None:
    parse, valid, sums, error = PARSERS[name]
    data = changed(valid, changes)
    if right:
        sums(data)
    try:
        parse(bytes(data))
    except error as raised:
        assert str(raised)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.binary(max_size=700), head=st.integers(0, 8))
def test_random_bytes(name: str, data: bytes, head: int) -> None:
    parse, valid, sums, error = PARSERS[name]
    made = bytearray(valid[:head] + data)
    sums(made)
    try:
        parse(bytes(made))
    except error as raised:
        assert str(raised)


KEYS = ["bias", "weights", "ratio", "select", "seed", "layers", "conv2d_0", "conv2d_2"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70_000) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["all", "none", "norm", "random", "0-2", "1-0.5", "conv2d_0", "first"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
PUBLISHED = (
    "n_bias_update", "manual_weight_idx", "weight_update_ratio", "weight_select_criteria",
    "pw1_weight_only",
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    value=JSON | st.fixed_dictionaries({"layers": JSON}, optional={"name": JSON})
    | st.fixed_dictionaries({"n_bias_update": JSON}, optional={k: JSON for k in PUBLISHED[1:]}),
    entry=st.sampled_from(["", "#a", "#layers/conv2d_0"]),
)  # fmt: skip
def test_schemes(value: Any, entry: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scheme.json"
        path.write_text(json.dumps(value))
        try:
            load_scheme(f"{path}{entry}", GRAPH)
        except SchemeError as raised:
            assert str(raised)
