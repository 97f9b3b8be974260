"""Fixed-point parameters, computed as TensorFlow Lite computes them.

Source: tensorflow/lite/kernels/internal/quantization_util.cc (`QuantizeMultiplier`) and
kernels/kernel_util.cc (`CalculateActivationRangeQuantized`). Scales are float32 numbers, products
and quotients of scales are double.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20


class Activation(IntEnum):
    """Activation fused into the output clamp of an operator; values as in the model image."""

    NONE = 0
    RELU = 1
    RELU6 = 2
    RELU_N1_TO_1 = 3
    RANGE = 4  # the output's own range is the clamp (MCUNetV3's backbones)


_BOUNDS: dict[Activation, tuple[float | None, float | None]] = {
    Activation.NONE: (None, None),
    Activation.RELU: (0.0, None),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RANGE: (None, None),
}


def round_half_away(x: float) -> int:
    """C's `round`: to nearest, ties away from zero."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Write `real` ≥ 0 as (Q31 multiplier, power of two): real ≈ multiplier · 2^(shift - 31).

    Returns (0, 0) for what is too small, as TFLite does, and the largest pair for what is too
    large.
    Raises ValueError for negative or non-finite numbers.
    """
    if not (math.isfinite(real) and real >= 0):
        raise ValueError(f"a multiplier must be finite and >= 0, got {real}")
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    fixed = round_half_away(mantissa * (1 << 31))
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return fixed, shift


def activation_range(activation: Activation, scale: float, zero_point: int) -> tuple[int, int]:
    """The int8 clamp [act_min, act_max] of an output with `scale` and `zero_point`."""
    low, high = _BOUNDS[activation]

    def quantize(value: float) -> int:
        return zero_point + round_half_away(float(np.float32(value) / np.float32(scale)))

    act_min = INT8_MIN if low is None else max(INT8_MIN, quantize(low))
    act_max = INT8_MAX if high is None else min(INT8_MAX, quantize(high))
    return act_min, act_max


def add_parameters(scale_a: float, scale_b: float, scale_out: float) -> list[int]:
    """mult and shift of input 0, of input 1 and of the output of an `add` (left shift 20)."""
    twice_max = 2.0 * max(scale_a, scale_b)
    pairs = (
        quantize_multiplier(scale_a / twice_max),
        quantize_multiplier(scale_b / twice_max),
        quantize_multiplier(twice_max / ((1 << ADD_LEFT_SHIFT) * scale_out)),
    )
    return [value for pair in pairs for value in pair]


def mean_parameters(scale_in: float, scale_out: float, count: int) -> list[int]:
    """mult and shift that turn the sum of `count` values (q - zero point) into their mean.

    Source: `QuantizedMeanOrSum`, which divides the multiplier of the scales by `count`.
    """
    mult, shift = quantize_multiplier(scale_in / scale_out)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return [(mult << bits) // count, shift - bits]
