"""Data sets that stay on the host, which sends the board each sample as it is needed."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from microtrain.dataset import CLASS_LABELS, NO_LABELS, Dataset
from microtrain.link.session import Session

_REQUEST = struct.Struct("<BBHI")


class SampleServer:
    """Answers what a board's microtrain.remote asks for (host/README.md)."""

    def __init__(self, session: Session, data: Sequence[Dataset]) -> None:
        self._session = session
        self._data = data
        self._generation = -1
        self._queue: deque[tuple[int, int]] = deque()
        self._rest = b""
        self._sent = 0
        session.on_samples = self._asked

    def _asked(self, request: bytes) -> None:
        number, generation, _, allowed = _REQUEST.unpack_from(request)
        if generation != self._generation:
            self._generation, self._sent, self._rest = generation, 0, b""
            self._queue.clear()
        indices = np.frombuffer(request, "<u4", offset=_REQUEST.size)
        self._queue.extend((number, int(index)) for index in indices)
        pieces, size = [self._rest], len(self._rest)
        while self._queue and self._sent + size < allowed:
            pieces.append(self._record(*self._queue.popleft()))
            size += len(pieces[-1])
        stream = b"".join(pieces)
        now, self._rest = stream[: allowed - self._sent], stream[allowed - self._sent :]
        self._sent += len(now)
        step = self._session.block - 1
        for at in range(0, len(now), step):
            self._session.post_bytes(bytes([generation]) + now[at : at + step])

    def _record(self, number: int, index: int) -> bytes:
        data = self._data[number]
        label = b"" if data.labels is None else data.labels[index].tobytes()
        return label + data.samples[index].tobytes()


def describe(data: Dataset, number: int, name: str) -> dict[str, Any]:
    """What a board must know of a data set that it does not have."""
    top, length = 0, 0
    if data.label_kind == CLASS_LABELS and data.labels is not None:
        top = int(data.labels.max())
    elif data.label_kind != NO_LABELS and data.labels is not None:
        length = data.labels.shape[1]
    return {
        "number": number, "samples": len(data), "shape": list(data.samples.shape[1:]),
        "scale": data.scale, "zero_point": data.zero_point, "kind": data.label_kind,
        "length": length, "top_label": top, "name": name,
    }  # fmt: skip
