"""First inputs of the fuzzers: small valid files of every kind, from which they go on."""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from graphs import random_graph  # noqa: E402

from microtrain import image  # noqa: E402
from microtrain.link import frame  # noqa: E402

CHOICES = slice(76, 96)  # of image.c


def images() -> Iterator[bytes]:
    """Small networks of every operator, trained in different ways."""
    rng = np.random.default_rng(1)
    for seed in range(60):
        graph = random_graph(np.random.default_rng(seed), 1 + seed % 6, largest=6)
        data = bytearray(image.to_bytes(graph))
        if len(data) <= 4096:
            data[CHOICES] = rng.integers(0, 256, 20, dtype=np.uint8).tobytes()
            data[16:48] = hashlib.sha256(data[48:]).digest()
            yield bytes(data)


def checkpoints() -> Iterator[bytes]:
    """Headers of both versions with states of zeros and of anything."""
    rng = np.random.default_rng(2)
    for seed in range(16):
        state = rng.integers(0, 256, 400, dtype=np.uint8).tobytes() if seed & 4 else bytes(400)
        header = struct.pack(
            "<4sHHII32sIIIf", b"MTC1", 1, seed >> 3, 29, len(state), bytes(32), seed, 1, seed, 0.1
        )
        crc = b'{"header_crc32": "%08x", ' % zlib.crc32(header)
        # Of an odd length, which checkpoint.c makes right, and of an even one.
        yield header + crc + state + bytes(32)
        yield header + crc + state + bytes(31)


def frames() -> Iterator[bytes]:
    """One to three frames, and text between them; the first byte says how they are cut."""
    rng = np.random.default_rng(3)
    for seed in range(24):
        line = bytes([seed * 11])
        for sequence in range(1 + seed % 3):
            length = (0, 1, 40, 252, 256)[seed % 5]
            payload = rng.integers(0, 1 + 255 * (seed % 2), length, dtype=np.uint8).tobytes()
            made = frame.Frame(frame.Kind.DATA, payload, seed % 5, sequence, 1)
            line += b"text" + made.encode()
        yield line


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "image": images, "checkpoint": checkpoints, "frame": frames,
}  # fmt: skip
