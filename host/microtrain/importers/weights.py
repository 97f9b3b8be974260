"""Build operators with weights, and keep weights inside the engine's [-127, 127] exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError
from microtrain.fixed_point import Activation, quantize_multiplier
from microtrain.graph import BIAS_LIMIT, Graph, Kind, Op, Tensor, clamp_fields


def channel_multipliers(
    input_scale: float, weight_scale: NDArray[np.float32], output_scale: float
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Q31 multiplier and shift of input scale × weight scale ÷ output scale for each channel."""
    pairs = [
        quantize_multiplier(input_scale * float(scale) / output_scale) for scale in weight_scale
    ]
    mult, shift = zip(*pairs, strict=True)
    return np.array(mult, np.int32), np.array(shift, np.int8)


def limit_bias(op: Op, notes: list[str]) -> None:
    """Bring biases into the engine's ±2^30 by doubling the scale of their channel.

    Weights and bias of such a channel are halved (rounded). Next to a bias of 2^30 the products
    of the weights are too small for that to show: these channels are constant or nearly so.
    """
    assert op.weights is not None and op.bias is not None and op.weight_scale is not None
    over = np.abs(op.bias.astype(np.int64)) > BIAS_LIMIT
    if not over.any():
        return
    shape = (
        over
        if op.kind is Kind.DEPTHWISE_CONV2D
        else over.reshape(-1, *[1] * (op.weights.ndim - 1))
    )
    op.weights = np.where(shape, np.rint(op.weights / 2), op.weights).astype(np.int8)
    op.bias = np.where(over, np.rint(op.bias / 2), op.bias).astype(np.int32)
    op.weight_scale = np.where(over, op.weight_scale * 2, op.weight_scale).astype(np.float32)
    notes.append(
        f"{op.name}: {int(over.sum())} channels with a bias beyond 2^30 got twice the weight scale"
    )


def split_wide_weights(graph: Graph, op: Op) -> list[Op]:
    """Rewrite a -128 in the weights of `op` exactly; returns operators to run before it.

    The engine's packed kernels need weights in [-127, 127], some converters write -128. The input
    channels concerned are appended once more by an identity 1×1 convolution (multiplier exactly
    1), so that -128·x becomes -127·x - 1·x: same sums, same output bytes. A linear input may be
    cut into positions × channels freely, so the cheapest cut is taken.
    """
    if op.weights is None or op.weights.min() > -128:
        return []
    if op.kind is Kind.DEPTHWISE_CONV2D:
        raise ConversionError(
            f"{op.name}: a depthwise weight is -128; only -127..127 is supported. Quantise the "
            "model with symmetric narrow-range weights"
        )
    source = graph.tensors[op.inputs[0]]
    if op.kind is Kind.LINEAR:
        h, channels, duplicated = _cheapest_cut(op.weights)
        view = Tensor(h, 1, channels, source.scale, source.zero_point)
        weights = op.weights.reshape(op.weights.shape[0], h, channels)
    else:
        view, weights = source, op.weights
        duplicated = np.flatnonzero((weights == -128).any(axis=(0, 1, 2)))
    extra = np.where(weights[..., duplicated] == -128, -1, 0).astype(np.int8)
    split = np.concatenate([np.maximum(weights, -127), extra], axis=-1)
    op.weights = split.reshape(split.shape[0], -1) if op.kind is Kind.LINEAR else split

    selection = [*range(view.c), *duplicated.tolist()]
    identity = np.zeros((len(selection), 1, 1, view.c), np.int8)
    identity[np.arange(len(selection)), 0, 0, selection] = 1
    before = []
    if view.shape != source.shape:
        graph.tensors.append(view)
        reshaped = len(graph.tensors) - 1
        before.append(Op(f"{op.name}_cut", Kind.RESHAPE, op.inputs, reshaped))
        op.inputs = (reshaped,)
    wide = Tensor(view.h, view.w, len(selection), view.scale, view.zero_point)
    graph.tensors.append(wide)
    mult, shift = quantize_multiplier(1.0)
    split_op = Op(
        f"{op.name}_split", Kind.CONV2D, op.inputs, len(graph.tensors) - 1,
        weights=identity, bias=np.zeros(wide.c, np.int32), mult=np.full(wide.c, mult, np.int32),
        shift=np.full(wide.c, shift, np.int8), weight_scale=np.ones(wide.c, np.float32),
    )  # fmt: skip
    op.inputs = (split_op.output,)
    graph.notes.append(
        f"{op.name}: weights of -128 were split exactly, with {split_op.name} in front "
        f"({identity.size + extra.size} bytes more)"
    )
    return [*before, split_op]


def _cheapest_cut(weights: NDArray[np.int8]) -> tuple[int, int, NDArray[np.intp]]:
    """positions, channels and the channels to duplicate of a linear input, fewest bytes added."""
    outputs, size = weights.shape
    columns = np.flatnonzero((weights == -128).any(axis=0))
    best: tuple[int, int, int, NDArray[np.intp]] | None = None
    for channels in (n for n in range(1, size + 1) if size % n == 0):
        duplicated = np.unique(columns % channels)
        positions = size // channels
        cost = channels * (channels + len(duplicated)) + positions * len(duplicated) * outputs
        if positions <= 0xFFFF and (best is None or cost < best[0]):
            best = cost, positions, channels, duplicated
    assert best is not None
    return best[1:]


def weighted_op(
    graph: Graph,
    kind: Kind,
    name: str,
    source: int,
    out: int,
    weights: NDArray[np.int8],
    bias: NDArray[Any],
    weight_scale: NDArray[np.float32],
    activation: Activation,
    **fields: Any,
) -> Op:
    """A conv2d, depthwise or linear operator with its multipliers. `fields` go to `Op`.

    A conv2d whose only window is its whole input becomes a linear operator: same sums.
    """
    x, y = graph.tensors[source], graph.tensors[out]
    if kind is Kind.CONV2D and (y.h, y.w) == (1, 1) and fields["kernel"] == (x.h, x.w):
        kind = Kind.LINEAR
        weights = weights.reshape(weights.shape[0], -1)
        for key in ("kernel", "stride", "pads"):
            del fields[key]
    op = Op(
        name, kind, (source,), out, weights=np.ascontiguousarray(weights),
        bias=np.asarray(bias, np.int32), weight_scale=weight_scale.astype(np.float32),
        **fields, **clamp_fields(activation, y),
    )  # fmt: skip
    limit_bias(op, graph.notes)
    assert op.weight_scale is not None
    op.mult, op.shift = channel_multipliers(x.scale, op.weight_scale, y.scale)
    return op
