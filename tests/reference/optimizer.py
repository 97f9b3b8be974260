"""Weight decay and velocities of one row of parameters, in Python integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference.rounding import Rng, q31, rounded_shift

KEEP_BITS, VALUE_BITS, LARGEST = 15, 8, 2**31 - 1


@dataclass(frozen=True)
class Rule:
    """SGD as torch.optim.SGD has it. bits: of a velocity, 0 for none."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    accumulate: int = 1
    qas: bool = True
    bits: int = 0

    @property
    def remembers(self) -> bool:
        return self.sums or self.weight_decay > 0

    @property
    def sums(self) -> bool:
        return self.keep > 0 or self.accumulate > 1

    @property
    def keep(self) -> int:
        return int(np.float32(self.momentum) * np.float32(1 << KEEP_BITS))


@dataclass
class Row:
    """Mantissas and their exponent."""

    mantissas: list[int]
    exponent: int = 0


def clamp(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def add_decay(
    rng: Rng, factor: float, values: list[int], value_bits: int, g: list[int], exponent: int
) -> tuple[list[int], int]:
    """g · 2^exponent + factor · values / 2^VALUE_BITS, for values of less than `value_bits`."""
    mantissa, e = q31(factor)
    shift = 31 + VALUE_BITS - e + exponent
    coarser = max(0, value_bits + 1 - shift)
    shift += coarser
    result = []
    for x, value in zip(g, values, strict=True):
        if coarser and x:
            x = 0 if coarser > 62 else rng.shift(x, coarser)
        if value and shift <= 62:
            x = clamp(x + rng.shift(value * mantissa, shift), -LARGEST, LARGEST)
        result.append(x)
    return result, exponent + coarser


def add_to_velocity(rng: Rng, row: Row, keep: int, g: list[int], exponent: int, bits: int) -> None:
    """row = keep · row + g · 2^exponent, with mantissas of `bits` bits."""
    kept = [m * keep for m in row.mantissas]
    exponents = [(row.exponent - KEEP_BITS, kept), (exponent, g)]
    present = [e for e, values in exponents if any(values)] or [exponent]
    unit = max(min(present), max(present) - 31)
    sums = [0] * len(g)
    for e, values in exponents:
        for i, value in enumerate(values):
            if value:
                sums[i] += int(rounded_shift(value, min(unit - e, 62)))
    used = max(abs(x) for x in sums).bit_length()
    row.exponent = clamp(unit + max(0, used - (bits - 1)), -128, 127)
    shift, most = row.exponent - unit, (1 << (bits - 1)) - 1
    for i, x in enumerate(sums):
        if shift > 60:
            x = 0
        elif x and shift > 0:
            x = rng.shift(x, shift)
        row.mantissas[i] = clamp(x, -most, most)
