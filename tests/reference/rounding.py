"""Shifts, multipliers and random numbers of the training step, in Python integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]


def rounded_shift(x: Any, s: int) -> Any:
    """x / 2^s to nearest, half up; s <= 0 shifts left."""
    x = np.asarray(x, np.int64)
    return x << -s if s <= 0 else (x + (1 << (s - 1))) >> s


def bit_length(x: Any) -> int:
    return int(x).bit_length()


def q31(x: float) -> tuple[int, int]:
    """x = mantissa · 2^(exponent - 31), mantissa in [2^30, 2^31)."""
    fraction, exponent = math.frexp(x)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    return (mantissa >> 1, exponent + 1) if mantissa == 1 << 31 else (mantissa, exponent)


class Rng:
    """xorshift32 (13, 17, 5)."""

    def __init__(self, seed: int) -> None:
        self.x = (seed * 2654435761 + 1) & 0xFFFFFFFF or 1

    def next(self) -> int:
        x = self.x
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.x = x
        return x

    def shift(self, v: int, s: int) -> int:
        r = self.next()
        return (v + (r << (s - 32) if s > 32 else r >> (32 - s))) >> s
