"""Bytes to send."""

from __future__ import annotations

import random


def every_byte(size: int, seed: int) -> bytes:
    """Random bytes in which every value occurs, control characters of the REPL included."""
    data = random.Random(seed).randbytes(size - 256) + bytes(range(256))
    assert len(set(data)) == 256
    return data
