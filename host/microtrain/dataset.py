"""The data file `.mtd`: int8 samples in a model's input quantisation, and labels.

Specification: host/README.md.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import DataError
from microtrain.files import read_checked, write_atomically

MAGIC = b"MTD1"
MAJOR, MINOR = 1, 0
NO_LABELS, CLASS_LABELS, VECTOR_LABELS = range(3)
_HEADER = struct.Struct("<4sHHIHHIfbBHIIIIII")
_HEADER_BYTES = 64
_MAX_BYTES = (1 << 32) - 1
_HEADER_CRC = struct.Struct("<I8x")
assert _HEADER.size + _HEADER_CRC.size == _HEADER_BYTES


@dataclass
class Dataset:
    """Samples (N, h, w, c) int8; real value = scale · (q - zero_point).

    `labels` are None, class indices (N,) uint16, or target vectors (N, length) float32 in real
    units. `metadata` is a JSON object, with `class_names` where they are known.
    """

    samples: NDArray[np.int8]
    labels: NDArray[np.uint16] | NDArray[np.float32] | None
    scale: float
    zero_point: int
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def label_kind(self) -> int:
        """NO_LABELS, CLASS_LABELS or VECTOR_LABELS."""
        if self.labels is None:
            return NO_LABELS
        return CLASS_LABELS if self.labels.dtype == np.uint16 else VECTOR_LABELS

    def validate(self) -> None:
        """Raise DataError where the file format or the engine would refuse this."""
        if self.samples.dtype != np.int8 or self.samples.ndim != 4 or 0 in self.samples.shape:
            raise DataError(
                f"samples are {self.samples.dtype} {self.samples.shape}; int8 (N, h, w, c) needed"
            )
        if not (math.isfinite(self.scale) and self.scale > 0 and -128 <= self.zero_point <= 127):
            raise DataError(f"scale {self.scale} or zero point {self.zero_point} is impossible")
        if self.labels is None:
            return
        if len(self.labels) != len(self):
            raise DataError(f"{len(self.labels)} labels for {len(self)} samples")
        if self.label_kind == VECTOR_LABELS and (
            self.labels.dtype != np.float32
            or self.labels.ndim != 2
            or not 1 <= self.labels.shape[1] <= 0xFFFF
            or not np.isfinite(self.labels).all()
        ):
            raise DataError(
                f"target vectors are {self.labels.dtype} {self.labels.shape}; finite float32 "
                "(N, length) needed"
            )
        if self.label_kind == CLASS_LABELS and self.labels.ndim != 1:
            raise DataError(f"class labels have the shape {self.labels.shape}; (N,) needed")
        names = self.metadata.get("class_names")
        if self.label_kind == CLASS_LABELS and isinstance(names, list):
            largest = int(self.labels.max())
            if largest >= len(names):
                raise DataError(f"label {largest}, but only {len(names)} class names")


def to_bytes(data: Dataset) -> bytes:
    """The `.mtd` file of `data`. Raises DataError."""
    data.validate()
    n, h, w, c = data.samples.shape
    length = {NO_LABELS: 0, CLASS_LABELS: 1}.get(data.label_kind)
    if length is None:
        assert data.labels is not None
        length = data.labels.shape[1]
    if max(h, w) > 0xFFFF:
        raise DataError(f"samples of {h}x{w}x{c} are too large: h and w go up to 65535")
    labels = (
        b""
        if data.labels is None
        else data.labels.astype(data.labels.dtype.newbyteorder("<")).tobytes()
    )
    labels += bytes(-len(labels) % 16)
    metadata = json.dumps(data.metadata, ensure_ascii=False, separators=(",", ":")).encode()
    samples_at = _HEADER_BYTES + len(labels)
    metadata_at = samples_at + n * h * w * c
    total = metadata_at + len(metadata)
    if total > _MAX_BYTES:
        raise DataError(f"the file would have {total} bytes, at most {_MAX_BYTES} fit")
    body = labels + data.samples.tobytes() + metadata
    header = _HEADER.pack(
        MAGIC, MAJOR, MINOR, n, h, w, c, data.scale, data.zero_point, data.label_kind, length,
        _HEADER_BYTES, samples_at, metadata_at, len(metadata), total, zlib.crc32(body),
    )  # fmt: skip
    return header + _HEADER_CRC.pack(zlib.crc32(header)) + body


def write(data: Dataset, path: Path) -> None:
    """Write `data` to `path`, all or nothing. Raises DataError."""
    write_atomically(path, to_bytes(data))


def read(path: Path) -> Dataset:
    """Read and check a `.mtd` file. Raises DataError."""
    return read_checked(path, from_bytes, DataError)


def from_bytes(raw: bytes) -> Dataset:
    """The data set in the bytes of a `.mtd` file. Raises DataError."""
    if len(raw) < _HEADER_BYTES or raw[:4] != MAGIC:
        raise DataError("not a data file: it does not start with 'MTD1'")
    fields = _HEADER.unpack_from(raw)
    (header_crc,) = _HEADER_CRC.unpack_from(raw, _HEADER.size)
    if zlib.crc32(raw[: _HEADER.size]) != header_crc:
        raise DataError("the header's CRC-32 does not match: the file is damaged")
    major, minor, n, h, w, c, scale, zero_point, kind, length = fields[1:11]
    labels_at, samples_at, metadata_at, metadata_length, total, body_crc = fields[11:]
    if major != MAJOR:
        raise DataError(f"data file version {major}.{minor}, this program reads {MAJOR}.x")
    if total != len(raw):
        raise DataError(f"the header says {total} bytes but there are {len(raw)}: truncated?")
    if zlib.crc32(raw[_HEADER_BYTES:]) != body_crc:
        raise DataError("the CRC-32 of the contents does not match: the file is damaged")
    if 0 in (n, h, w, c):
        raise DataError(f"the file says {n} samples of {h}x{w}x{c}")
    label_type = {NO_LABELS: None, CLASS_LABELS: "<u2", VECTOR_LABELS: "<f4"}.get(kind, "")
    if label_type == "" or (kind == CLASS_LABELS and length != 1):
        raise DataError(f"unknown label kind {kind} of length {length}")
    samples = _array(raw, samples_at, n * h * w * c, "i1", "samples").reshape(n, h, w, c)
    labels = None
    if label_type:
        labels = _array(raw, labels_at, n * length, label_type, "labels")
        if kind == VECTOR_LABELS:
            labels = labels.reshape(n, length)
    if metadata_at < _HEADER_BYTES or metadata_at + metadata_length > len(raw):
        raise DataError("the metadata lies outside the file")
    try:
        metadata = json.loads(raw[metadata_at : metadata_at + metadata_length] or b"{}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"the metadata is not JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise DataError("the metadata is not a JSON object")
    result = Dataset(samples, labels, scale, zero_point, metadata)
    result.validate()
    return result


def _array(raw: bytes, at: int, count: int, dtype: str, what: str) -> NDArray[Any]:
    size = count * np.dtype(dtype).itemsize
    if at < _HEADER_BYTES or at + size > len(raw):
        raise DataError(f"{what}: {size} bytes at offset {at} lie outside the file")
    array = np.frombuffer(raw, dtype, count, at)
    return array.astype(array.dtype.newbyteorder("="))
