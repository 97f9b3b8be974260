"""Gradients of the losses in fixed point, after NUMERICS §3.3."""

from __future__ import annotations

import math

import numpy as np

from reference.rounding import Array, bit_length, rounded_shift


def exp2_table() -> list[int]:
    return [math.floor(2**24 * 2 ** (-k / 64) + 0.5) for k in range(65)]


def loss_bits(n: int) -> int:
    bits, most = 15, 516
    while n > most:
        bits, most = bits - 1, most * 2
    return bits


def to_bits(g: Array, bits: int, exponent: int) -> tuple[Array, int]:
    shift = bit_length(np.abs(g).max()) - bits if np.any(g) else -bits
    most = (1 << bits) - 1
    return np.clip(rounded_shift(g, shift), -most, most), exponent + shift


def cross_entropy_gradient(z: Array, label: int, bits: int) -> tuple[Array, int]:
    table = exp2_table()
    e = []
    for value in z:
        t = ((int(z.max()) - int(value)) * 94548) >> 16
        whole, fraction = min(t >> 16, 31), t & 0xFFFF
        k, rest = fraction >> 10, fraction & 1023
        u = table[k] - (((table[k] - table[k + 1]) * rest) >> 10)
        e.append(0 if whole > 24 else u >> whole)
    reciprocal = (1 << 54) // sum(e)
    g = [(x * reciprocal) >> 24 for x in e]
    g[label] = -(sum(g) - g[label])
    return to_bits(np.array(g, np.int64), bits, -30)


def mse_gradient(z: Array, target: Array, bits: int) -> tuple[Array, int]:
    n = len(z)
    factor_exponent = 2 - bit_length(n - 1)
    factor = ((1 << (32 - factor_exponent)) // n + (1 << 15)) >> 16
    d = np.clip(z - target, -(2**31 - 1), 2**31 - 1)
    seen = 0
    for value in d:
        seen |= abs(int(value))
    shift = bit_length(seen) + 15 - bits
    most = (1 << bits) - 1
    return np.clip(rounded_shift(d * factor, shift), -most, most), factor_exponent - 31 + shift
