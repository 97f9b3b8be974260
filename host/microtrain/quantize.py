"""Post-training quantisation: a float graph and calibration samples to an int8 graph.

Weights are symmetric in [-127, 127] with one scale per output channel, activations asymmetric
int8 with one scale per tensor whose range is observed on the calibration samples and includes 0.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import DataError, ModelError
from microtrain.fixed_point import (
    add_parameters,
    mean_parameters,
    quantize_multiplier,
)
from microtrain.float_graph import FloatGraph, FloatOp, run
from microtrain.graph import KEEPS_SCALE, Graph, Kind, Op, Rounding, Tensor, clamp_fields
from microtrain.importers.simplify import simplify
from microtrain.importers.weights import split_wide_weights, weighted_op
from microtrain.validate import validate

Method = Literal["minmax", "percentile", "mse"]
_BATCH = 16
_SAMPLED = 1 << 12  # values kept of one tensor and batch, for percentile and mse
_BIAS_BITS = 24
_SCALE_FLOOR = 2.0**-12  # of the layer's largest weight scale


def quantize(
    graph: FloatGraph, samples: NDArray[np.float32] | None, method: Method = "minmax",
    percentile: float = 99.99,
) -> Graph:  # fmt: skip
    """The int8 graph of `graph`.

    `samples` (N, h, w, c) are calibration inputs in the network's real units. `method` chooses
    the clipping of activation ranges: `minmax` none, `percentile` keeps that share of values,
    `mse` the range with the least squared rounding error. Quantisation that the graph has chosen
    itself is kept; samples may be None if it has chosen all. Raises DataError and ModelError.
    """
    for op in graph.ops:
        arrays = [array for array in (op.weights, op.bias) if array is not None]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ModelError(f"operator {op.name!r}: its weights are not finite")
    quantization = (
        _chosen(graph) if samples is None else _calibrated(graph, samples, method, percentile)
    )
    result = Graph([], [], graph.input, graph.output, graph.metadata, graph.notes)
    result.tensors = [
        Tensor(*shape, *quantization.get(i, (1.0, 0))) for i, shape in enumerate(graph.shapes)
    ]
    result.ops = [_quantize_op(result, op) for op in graph.ops]
    result.ops = [part for op in result.ops for part in (*split_wide_weights(result, op), op)]
    simplify(result)
    validate(result)
    return result


def _propagated(
    graph: FloatGraph, quantization: dict[int, tuple[float, int]]
) -> dict[int, tuple[float, int]]:
    """Complete what is known with the operators that keep or fix the scale of their output."""
    for op in graph.ops:
        if op.kind is Kind.SOFTMAX:
            quantization[op.output] = (1 / 256, -128)
        elif op.kind in KEEPS_SCALE and op.inputs[0] in quantization:
            quantization[op.output] = quantization[op.inputs[0]]
    return quantization


def _chosen(graph: FloatGraph) -> dict[int, tuple[float, int]]:
    quantization = _propagated(graph, dict(graph.quantization))
    for op in graph.ops:
        for tensor in (*op.inputs, op.output):
            if tensor not in quantization:
                raise DataError(
                    f"the model does not say how the tensors of operator {op.name!r} are "
                    "quantised: give calibration samples (--calib FILE.npz, channels last)"
                )
    return quantization


def _calibrated(
    graph: FloatGraph, samples: NDArray[np.float32], method: Method, percentile: float
) -> dict[int, tuple[float, int]]:
    h, w, c = graph.shapes[graph.input]
    if samples.size == 0 or samples[0].size != h * w * c:
        raise DataError(
            f"calibration samples have the shape {samples.shape[1:]}, the model wants {(h, w, c)}"
        )
    if not np.isfinite(samples).all():
        raise DataError("calibration samples contain NaN or infinity")
    with np.errstate(over="ignore", invalid="ignore"):
        ranges = _ranges(graph, samples, method, percentile)
    for op in graph.ops:
        if not np.isfinite(ranges[op.output]).all():
            raise ModelError(f"operator {op.name!r}: its outputs are not finite")
    quantization = {index: _affine(*limits) for index, limits in ranges.items()}
    return _propagated(graph, quantization | graph.quantization)


def _affine(low: float, high: float) -> tuple[float, int]:
    """float32 scale and zero point whose 256 values cover [low, high] ∋ 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9:
        high = low + 1.0
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def _ranges(
    graph: FloatGraph, samples: NDArray[np.float32], method: Method, percentile: float
) -> dict[int, tuple[float, float]]:
    lows: dict[int, float] = {}
    highs: dict[int, float] = {}
    kept: dict[int, list[NDArray[np.float32]]] = {}
    random = np.random.default_rng(0)
    for start in range(0, len(samples), _BATCH):
        for index, value in run(graph, samples[start : start + _BATCH]).items():
            lows[index] = min(lows.get(index, 0.0), float(value.min()))
            highs[index] = max(highs.get(index, 0.0), float(value.max()))
            if method != "minmax" and index != graph.input:
                flat = value.ravel()
                chosen = random.integers(0, flat.size, min(flat.size, _SAMPLED))
                kept.setdefault(index, []).append(flat[chosen])
    ranges = {index: (lows[index], highs[index]) for index in lows}
    for index, parts in kept.items():
        values = np.concatenate(parts)
        if method == "percentile":
            tail = (100 - percentile) / 2
            low, high = np.percentile(values, [tail, 100 - tail])
            ranges[index] = (float(low), float(high))
        else:
            ranges[index] = _least_error(values, *ranges[index])
    return ranges


def _least_error(values: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """The shrunk range with the least mean squared error, of 40 between a fifth and the whole."""

    def error(factor: float) -> float:
        scale, zero_point = _affine(low * factor, high * factor)
        q = np.clip(np.rint(values / scale) + zero_point, -128, 127)
        return float(np.mean(((q - zero_point) * scale - values) ** 2))

    best = min(np.linspace(0.2, 1.0, 41)[::-1], key=error)
    return low * best, high * best


def _quantize_op(graph: Graph, op: FloatOp) -> Op:
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    if op.weights is not None:
        return _quantize_weighted(graph, op)
    params: tuple[int, ...] = (0,) * 8
    if op.kind is Kind.ADD:
        second = graph.tensors[op.inputs[1]]
        params = (*add_parameters(x.scale, second.scale, y.scale), 0, 0)
    elif op.kind is Kind.MEAN:
        params = (*mean_parameters(x.scale, y.scale, x.h * x.w), 0, 0, 0, 0, 0, 0)
    elif op.kind is Kind.REQUANTIZE:
        params = (*quantize_multiplier(x.scale / y.scale), 0, 0, 0, 0, 0, 0)
    clamp = clamp_fields(op.activation, y)
    return Op(
        op.name, op.kind, op.inputs, op.output, kernel=op.kernel, stride=op.stride, pads=op.pads,
        params=params, **clamp,
    )  # fmt: skip


def _quantize_weighted(graph: Graph, op: FloatOp) -> Op:
    assert op.weights is not None and op.bias is not None
    x = graph.tensors[op.inputs[0]]
    axis = 2 if op.kind is Kind.DEPTHWISE_CONV2D else 0
    others = tuple(i for i in range(op.weights.ndim) if i != axis)
    scale = _weight_scale(op, others, x.scale) if op.weight_scale is None else op.weight_scale
    shape = [-1 if i == axis else 1 for i in range(op.weights.ndim)]
    shaped = scale.astype(np.float64).reshape(shape)
    lowest = -127 if op.weight_scale is None else -128
    weights = np.clip(np.rint(op.weights / shaped), lowest, 127).astype(np.int8)
    bias = np.rint(op.bias.astype(np.float64) / (x.scale * scale.astype(np.float64)))
    return weighted_op(
        graph, op.kind, op.name, op.inputs[0], op.output, weights, bias.astype(np.int32), scale,
        op.activation, kernel=op.kernel, stride=op.stride, pads=op.pads,
        channel_multiplier=op.channel_multiplier, rounding=Rounding.ONCE,
    )  # fmt: skip


def _weight_scale(op: FloatOp, others: tuple[int, ...], input_scale: float) -> NDArray[np.float32]:
    """The largest weight of each output channel is 127.

    A channel without weights still needs a scale, one at which its bias fits comfortably.
    """
    assert op.weights is not None and op.bias is not None
    scale = np.abs(op.weights).max(axis=others).astype(np.float64) / 127
    floor = max(float(scale.max()) * _SCALE_FLOOR, 1e-9)
    for_bias = np.abs(op.bias.astype(np.float64)) / (input_scale * (1 << _BIAS_BITS))
    return np.maximum(np.maximum(scale, floor), for_bias).astype(np.float32)
