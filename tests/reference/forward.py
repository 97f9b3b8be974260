"""The int8 forward pass of every operator kind in readable numpy: the yardstick of the kernels.

NHWC with batch 1, TensorFlow Lite's reference semantics: products of (q - zero point) with int8
weights, int32 sums, fixed-point requantisation that rounds twice, or once where the operator
says so (LiteRT's reference FULLY_CONNECTED).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microtrain.graph import Graph, Kind, Op, Rounding, Tensor

Array = NDArray[np.int64]
ADD_LEFT_SHIFT = 20


def rounding_doubling_high_mul(a: Array, b: Array) -> Array:
    """round(a · b / 2^31), ties away from zero, saturating (SaturatingRoundingDoublingHighMul)."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.minimum(quotient, (1 << 31) - 1)


def rounding_shift_right(x: Array, exponent: Array) -> Array:
    """round(x / 2^exponent), ties away from zero (RoundingDivideByPOT)."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def requantize(x: Array, mult: Array | int, shift: Array | int) -> Array:
    """x · mult · 2^(shift - 31), rounded twice (MultiplyByQuantizedMultiplier)."""
    mult, shift = np.asarray(mult, np.int64), np.asarray(shift, np.int64)
    high = rounding_doubling_high_mul(x << np.maximum(shift, 0), mult)
    return rounding_shift_right(high, np.maximum(-shift, 0))


def requantize_once(x: Array, mult: Array, shift: Array) -> Array:
    """x · mult · 2^(shift - 31), rounded once, ties away from zero."""
    down = 31 - np.asarray(shift, np.int64)
    magnitude = np.abs(x) * np.asarray(mult, np.int64) + (np.int64(1) << (down - 1))
    return np.sign(x) * (magnitude >> down)


def windows(x: Array, op: Op, out: Tensor, outside: int) -> Array:
    """(out h, out w, kernel h, kernel w, c): what each window sees, `outside` beyond the input."""
    (kh, kw), (sh, sw), (top, left, *_) = op.kernel, op.stride, op.pads
    h, w, c = x.shape
    padded = np.full(
        (max((out.h - 1) * sh + kh, top + h), max((out.w - 1) * sw + kw, left + w), c),
        outside,
        np.int64,
    )
    padded[top : top + h, left : left + w] = x
    view = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(0, 1))
    return view[::sh, ::sw][: out.h, : out.w].transpose(0, 1, 3, 4, 2)


def exact_matmul(a: Array, b: Array) -> Array:
    """a @ b on integers through float64, exact below 2^53."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def accumulate(op: Op, x: Array, out: Tensor) -> Array:
    """Sums of weights × (q - zero point) plus bias, before requantisation; x is q - zero point."""
    assert op.weights is not None and op.bias is not None
    weights = op.weights.astype(np.int64)
    if op.kind is Kind.LINEAR:
        return exact_matmul(x.reshape(1, -1), weights.T).reshape(out.shape) + op.bias.reshape(
            out.shape
        )
    seen = windows(x, op, out, 0)
    if op.kind is Kind.CONV2D:
        columns = seen.reshape(out.h * out.w, -1)
        sums = exact_matmul(columns, weights.reshape(weights.shape[0], -1).T)
        return sums.reshape(out.shape) + op.bias
    spread = np.repeat(seen, op.channel_multiplier, axis=-1)
    return (spread * weights).sum(axis=(2, 3)) + op.bias


def average_pool(op: Op, x: Array, out: Tensor) -> Array:
    """Mean of the raw q inside the input, rounded to nearest, ties away from zero."""
    sums = windows(x, op, out, 0).sum(axis=(2, 3))
    counts = windows(np.ones_like(x), op, out, 0).sum(axis=(2, 3))
    half_away = np.where(sums > 0, sums + counts // 2, sums - counts // 2)
    return np.sign(half_away) * (np.abs(half_away) // counts)  # C's division truncates


def add(op: Op, a: Array, b: Array) -> Array:
    """Both operands at a common scale with 20 more bits, added, brought to the output's scale."""
    first = requantize(a << ADD_LEFT_SHIFT, op.params[0], op.params[1])
    second = requantize(b << ADD_LEFT_SHIFT, op.params[2], op.params[3])
    return requantize(first + second, op.params[4], op.params[5])


def softmax(x: Array, scale: float) -> Array:
    """Softmax over the channels, scale 1/256, zero point -128 (float; TFLite's may be ±1)."""
    real = (x - x.max(axis=-1, keepdims=True)) * scale
    exponentials = np.exp(real)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return np.floor(probabilities * 256 + 0.5).astype(np.int64) - 128


def run_op(graph: Graph, op: Op, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Output (h, w, c) of one operator for int8 inputs of its tensors' shapes."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    q = inputs[0].astype(np.int64).reshape(source.shape)
    x = q - source.zero_point
    if op.kind in (Kind.CONV2D, Kind.DEPTHWISE_CONV2D, Kind.LINEAR):
        assert op.mult is not None and op.shift is not None
        scale = requantize_once if op.rounding is Rounding.ONCE else requantize
        y = scale(accumulate(op, x, out), op.mult, op.shift) + out.zero_point
    elif op.kind is Kind.ADD:
        second = graph.tensors[op.inputs[1]]
        b = inputs[1].astype(np.int64).reshape(second.shape) - second.zero_point
        y = add(op, x, b) + out.zero_point
    elif op.kind is Kind.AVERAGE_POOL:
        y = average_pool(op, q, out)
    elif op.kind is Kind.MAX_POOL:
        y = windows(q, op, out, -128).max(axis=(2, 3))
    elif op.kind is Kind.MEAN:
        y = requantize(x.sum(axis=(0, 1)), op.params[0], op.params[1]) + out.zero_point
    elif op.kind is Kind.PAD:
        top, left, bottom, right = op.pads
        y = np.pad(q, ((top, bottom), (left, right), (0, 0)), constant_values=source.zero_point)
    elif op.kind is Kind.RESHAPE:
        y = q
    elif op.kind is Kind.SOFTMAX:
        y = softmax(x, source.scale)
    else:
        y = requantize(x, op.params[0], op.params[1]) + out.zero_point
    return np.clip(y, op.act_min, op.act_max).astype(np.int8).reshape(out.shape)


def run_all(graph: Graph, x: NDArray[np.int8]) -> dict[int, NDArray[np.int8]]:
    """Every tensor of the graph (index → int8 (h, w, c)) for one int8 input."""
    values = {graph.input: np.asarray(x, np.int8).reshape(graph.tensors[graph.input].shape)}
    for op in graph.ops:
        values[op.output] = run_op(graph, op, *(values[i] for i in op.inputs))
    return values


def run_graph(graph: Graph, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """The graph's int8 output (h, w, c) for one int8 input."""
    return run_all(graph, x)[graph.output]
