"""A float network before quantisation, channels-last, and its execution in numpy.

Operators are those of the model image with float weights. Batch normalisation is folded and
activations are fused already, so tensor ranges seen here are those the int8 tensors must hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.fixed_point import Activation
from microtrain.graph import Kind

Shape = tuple[int, int, int]
FloatArray = NDArray[np.float32]


@dataclass
class FloatOp:
    """One operator; weights as in `microtrain.graph.Op`, in float32."""

    name: str
    kind: Kind
    inputs: tuple[int, ...]
    output: int
    activation: Activation = Activation.NONE
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    channel_multiplier: int = 1
    weights: FloatArray | None = None
    bias: FloatArray | None = None
    weight_scale: FloatArray | None = None  # per output channel, where the model has chosen them


@dataclass
class FloatGraph:
    """Shapes (h, w, c) of all tensors and operators in execution order.

    `quantization` holds scale and zero point of the tensors for which the model has chosen them.
    """

    shapes: list[Shape]
    ops: list[FloatOp] = field(default_factory=list)
    input: int = 0
    output: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    quantization: dict[int, tuple[float, int]] = field(default_factory=dict)


def run(graph: FloatGraph, x: FloatArray) -> dict[int, FloatArray]:
    """All tensors (index → (N, h, w, c)) for a batch `x` of the input's shape.

    Sums are float64, rounded to float32: the same on every processor, whose BLAS adds in an order
    of its own. What is quantised with them is then the same everywhere too.
    """
    values = {graph.input: np.asarray(x, np.float32).reshape(-1, *graph.shapes[graph.input])}
    for op in graph.ops:
        inputs = [values[i] for i in op.inputs]
        y = _run_op(op, inputs, graph.shapes[op.output])
        values[op.output] = _activate(op.activation, y).astype(np.float32)
    return values


def _activate(activation: Activation, y: FloatArray) -> FloatArray:
    if activation is Activation.RELU:
        return np.maximum(y, 0)
    if activation is Activation.RELU6:
        return np.clip(y, 0, 6)
    if activation is Activation.RELU_N1_TO_1:
        return np.clip(y, -1, 1)
    return y


def _windows(op: FloatOp, x: FloatArray, out: Shape, outside: float) -> FloatArray:
    """(N, out h, out w, kernel h, kernel w, c)."""
    n, h, w, c = x.shape
    (kh, kw), (sh, sw), (top, left, *_) = op.kernel, op.stride, op.pads
    height, width = (
        max((out[0] - 1) * sh + kh, top + h),
        max((out[1] - 1) * sw + kw, left + w),
    )
    padded = np.full((n, height, width, c), outside, np.float32)
    padded[:, top : top + h, left : left + w] = x
    view = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
    return view[:, ::sh, ::sw][:, : out[0], : out[1]].transpose(0, 1, 2, 4, 5, 3)


def _run_op(op: FloatOp, inputs: list[FloatArray], out: Shape) -> FloatArray:
    x = inputs[0]
    n = len(x)
    if op.kind is Kind.LINEAR:
        assert op.weights is not None and op.bias is not None
        y = x.reshape(n, -1).astype(np.float64) @ op.weights.T.astype(np.float64)
        return (y + op.bias).reshape(n, *out).astype(np.float32)
    if op.kind is Kind.CONV2D:
        assert op.weights is not None and op.bias is not None
        columns = _windows(op, x, out, 0.0).reshape(n * out[0] * out[1], -1)
        rows = op.weights.reshape(len(op.weights), -1)
        y = columns.astype(np.float64) @ rows.T.astype(np.float64)
        return (y.reshape(n, *out) + op.bias).astype(np.float32)
    if op.kind is Kind.DEPTHWISE_CONV2D:
        assert op.weights is not None and op.bias is not None
        spread = np.repeat(_windows(op, x, out, 0.0), op.channel_multiplier, axis=-1)
        weights = op.weights.astype(np.float64)
        y = np.einsum("nhwklc,klc->nhwc", spread, weights, dtype=np.float64)
        return (y + op.bias).astype(np.float32)
    if op.kind is Kind.ADD:
        return x + inputs[1]
    if op.kind is Kind.MAX_POOL:
        return _windows(op, x, out, -np.inf).max(axis=(3, 4))
    if op.kind is Kind.AVERAGE_POOL:
        counts = _windows(op, np.ones_like(x[:1]), out, 0.0).sum(axis=(3, 4))
        return _windows(op, x, out, 0.0).sum(axis=(3, 4)) / counts
    if op.kind is Kind.MEAN:
        return x.mean(axis=(1, 2), keepdims=True)
    if op.kind is Kind.PAD:
        top, left, bottom, right = op.pads
        return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    if op.kind is Kind.SOFTMAX:
        exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)
    return x.reshape(n, *out)  # reshape, requantize
