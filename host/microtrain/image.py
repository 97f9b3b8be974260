"""The model image `.mtm`: write a graph, read one back. Specification: usermod_c/README.md."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain import signature
from microtrain.errors import ModelError
from microtrain.files import read_checked, write_atomically
from microtrain.fixed_point import Activation
from microtrain.graph import (
    MAX_COUNT,
    MAX_ELEMENTS,
    MAX_NAME_BYTES,
    Graph,
    Kind,
    Op,
    Rounding,
    Tensor,
)
from microtrain.validate import validate

MAGIC = b"MTMI"
MAJOR, MINOR = 1, 0
NO_TENSOR = 0xFFFF
_HEADER = struct.Struct("<4sHHII32sIIIIIIHH20x")
_TENSOR = struct.Struct("<HHIfbB2x")
_OP = struct.Struct("<BBbb3H8HHI6I8iB7x")
_HASHED_FROM = 48
assert (_HEADER.size, _TENSOR.size, _OP.size) == (96, 16, 96)


class _Blob:
    """Bytes that grow, with alignment."""

    def __init__(self, start: int) -> None:
        self.data = bytearray(start)

    def append(self, data: bytes, align: int) -> int:
        """Append at the next multiple of `align`; returns the offset."""
        self.data.extend(bytes(-len(self.data) % align))
        offset = len(self.data)
        self.data.extend(data)
        return offset


def to_bytes(graph: Graph) -> bytes:
    """The image of `graph`. Raises ModelError if the engine would refuse it."""
    validate(graph)
    tensors_at = _HEADER.size
    ops_at = tensors_at + _TENSOR.size * len(graph.tensors)
    blob = _Blob(ops_at + _OP.size * len(graph.ops))
    names = [blob.append(op.name.encode() + b"\0", 1) for op in graph.ops]
    metadata = json.dumps(graph.metadata, ensure_ascii=False, separators=(",", ":")).encode()
    metadata_at = blob.append(metadata, 4)
    for index, tensor in enumerate(graph.tensors):
        _TENSOR.pack_into(
            blob.data, tensors_at + index * _TENSOR.size, *tensor.shape, tensor.scale,
            tensor.zero_point, 0,
        )  # fmt: skip
    for index, (op, name_at) in enumerate(zip(graph.ops, names, strict=True)):
        offsets = _append_arrays(blob, graph, op)
        inputs = (*op.inputs, NO_TENSOR)[:2]
        _OP.pack_into(
            blob.data, ops_at + index * _OP.size, op.kind, op.activation, op.act_min, op.act_max,
            *inputs, op.output, *op.kernel, *op.stride, *op.pads, op.channel_multiplier, name_at,
            *offsets, *op.params, op.rounding,
        )  # fmt: skip
    blob.append(b"", 4)
    header = (
        len(graph.tensors), len(graph.ops), tensors_at, ops_at, metadata_at, len(metadata),
        graph.input, graph.output,
    )  # fmt: skip
    length = len(blob.data)
    _HEADER.pack_into(blob.data, 0, MAGIC, MAJOR, MINOR, length, 0, bytes(32), *header)
    digest = hashlib.sha256(blob.data[_HASHED_FROM:]).digest()
    _HEADER.pack_into(blob.data, 0, MAGIC, MAJOR, MINOR, length, 0, digest, *header)
    return bytes(blob.data)


def _append_arrays(blob: _Blob, graph: Graph, op: Op) -> tuple[int, ...]:
    """Append the arrays of `op`; returns offsets: weights, bias, fold, mult, shift, scale."""
    if op.weights is None:
        return (0,) * 6
    fold = op.fold(graph.tensors[op.inputs[0]].zero_point)
    weights_at = blob.append(np.ascontiguousarray(op.weights).tobytes(), 16)
    rest = (op.bias, fold, op.mult, op.shift, op.weight_scale)
    return weights_at, *(
        blob.append(np.asarray(array).astype(array.dtype.newbyteorder("<")).tobytes(), 4)
        for array in rest
        if array is not None
    )


def write(graph: Graph, path: Path) -> bytes:
    """Write the image of `graph` to `path` (all or nothing); returns its bytes."""
    data = to_bytes(graph)
    write_atomically(path, data)
    return data


def read(path: Path) -> Graph:
    """Read and validate an image file. Raises ModelError."""
    return read_checked(path, from_bytes, ModelError)


def from_bytes(data: bytes) -> Graph:
    """The graph of an image. Everything is checked before use, but for the signature; raises
    ModelError."""
    data, _ = signature.split(data)
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise ModelError("not a model image: it does not start with 'MTMI'")
    header = _HEADER.unpack_from(data)
    major, minor, length, flags, digest = header[1:6]
    tensor_count, op_count, tensors_at, ops_at, metadata_at, metadata_length = header[6:12]
    if major != MAJOR:
        raise ModelError(f"image version {major}.{minor}, this program reads {MAJOR}.x")
    if length != len(data):
        raise ModelError(f"the image says {length} bytes but has {len(data)}: truncated?")
    if hashlib.sha256(data[_HASHED_FROM:]).digest() != digest:
        raise ModelError("the image's SHA-256 does not match its contents: it is damaged")
    if flags:
        raise ModelError(f"unknown flags {flags:#x}")
    if not 1 <= tensor_count <= MAX_COUNT or not 1 <= op_count <= MAX_COUNT:
        raise ModelError(f"{tensor_count} tensors and {op_count} operators, at most {MAX_COUNT}")
    _slice(data, tensors_at, tensor_count * _TENSOR.size, 4, "tensor table")
    _slice(data, ops_at, op_count * _OP.size, 4, "operator table")
    tensors = []
    for index in range(tensor_count):
        h, w, c, scale, zero_point, dtype = _TENSOR.unpack_from(
            data, tensors_at + index * _TENSOR.size
        )
        if dtype != 0:
            raise ModelError(f"tensor {index}: unknown element type {dtype}")
        tensors.append(Tensor(h, w, c, scale, zero_point))
    ops = [_read_op(data, ops_at + i * _OP.size, i, tensors) for i in range(op_count)]
    metadata = _metadata(_slice(data, metadata_at, metadata_length, 1, "metadata"))
    graph = Graph(tensors, ops, header[12], header[13], metadata)
    validate(graph)
    return graph


def header_sha256(data: bytes) -> str:
    """The hexadecimal SHA-256 that an image carries, by which checkpoints name it."""
    digest: bytes = _HEADER.unpack_from(data)[5]
    return digest.hex()


def _slice(data: bytes, offset: int, size: int, align: int, what: str) -> bytes:
    if offset % align or offset < _HEADER.size or offset + size > len(data):
        raise ModelError(
            f"{what}: {size} bytes at offset {offset} do not fit the image of {len(data)}"
        )
    return data[offset : offset + size]


def _metadata(text: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(f"metadata is not JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise ModelError("metadata is not a JSON object")
    return metadata


def _read_op(data: bytes, at: int, index: int, tensors: list[Tensor]) -> Op:
    fields = _OP.unpack_from(data, at)
    kind_value, activation, act_min, act_max, first, second, output = fields[:7]
    where = f"operator {index}"
    if kind_value not in set(Kind) or activation not in set(Activation):
        raise ModelError(f"{where}: unknown kind {kind_value} or activation {activation}")
    if fields[31] not in set(Rounding):
        raise ModelError(f"{where}: unknown rounding {fields[31]}")
    kind = Kind(kind_value)
    name_at = fields[16]
    name_bytes = data[name_at : name_at + MAX_NAME_BYTES + 1] if name_at else b""
    name, zero, _ = name_bytes.partition(b"\0")
    try:
        text = name.decode() if zero else ""
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ModelError(f"{where}: its name is not 1 to {MAX_NAME_BYTES} bytes of UTF-8")
    op = Op(
        text, kind, (first,) if second == NO_TENSOR else (first, second), output,
        Activation(activation), act_min, act_max, kernel=fields[7:9], stride=fields[9:11],
        pads=fields[11:15], channel_multiplier=fields[15], params=fields[23:31],
        rounding=Rounding(fields[31]),
    )  # fmt: skip
    offsets = fields[17:23]
    if any(offsets):
        if max(*op.inputs, output) >= len(tensors):
            raise ModelError(f"{where}: a tensor index is past the table of {len(tensors)}")
        source = tensors[first]
        _read_arrays(data, op, offsets, source, tensors[output], f"{where} ({text!r})")
    return op


def _read_arrays(
    data: bytes, op: Op, offsets: tuple[int, ...], source: Tensor, out: Tensor, where: str
) -> None:
    """Fill the weight arrays of `op`. Their sizes follow from the shapes of its tensors."""
    shapes = {
        Kind.CONV2D: (out.c, *op.kernel, source.c),
        Kind.DEPTHWISE_CONV2D: (*op.kernel, out.c),
        Kind.LINEAR: (out.size, source.size),
    }
    if op.kind not in shapes:
        raise ModelError(f"{where}: a {op.kind.name.lower()} has no weights, but offsets are set")
    if max(source.size, out.size) > MAX_ELEMENTS:
        raise ModelError(f"{where}: its tensors hold more than {MAX_ELEMENTS} elements")
    shape = shapes[op.kind]
    count = out.size if op.kind is Kind.LINEAR else out.c
    size = int(np.prod([int(v) for v in shape], dtype=object))

    def array(at: int, entries: int, dtype: str, align: int, what: str) -> NDArray[Any]:
        width = np.dtype(dtype).itemsize
        raw = _slice(data, at, entries * width, align, f"{where}: {what}")
        return np.frombuffer(raw, dtype=dtype).astype(np.dtype(dtype).newbyteorder("="))

    op.weights = array(offsets[0], size, "i1", 16, "weights").reshape(shape)
    op.bias = array(offsets[1], count, "<i4", 4, "bias")
    fold = array(offsets[2], count, "<i4", 4, "fold")
    op.mult = array(offsets[3], count, "<i4", 4, "mult")
    op.shift = array(offsets[4], count, "i1", 1, "shift")
    op.weight_scale = array(offsets[5], count, "<f4", 4, "weight_scale")
    if not np.array_equal(fold, op.fold(source.zero_point)):
        raise ModelError(f"{where}: fold is not bias - zero point x sum of weights")
