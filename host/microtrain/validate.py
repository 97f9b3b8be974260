"""Checks that a graph is what the engine accepts. Importers and the image reader both call it."""

from __future__ import annotations

import math

import numpy as np

from microtrain.errors import ModelError
from microtrain.fixed_point import INT8_MAX, INT8_MIN
from microtrain.graph import (
    BIAS_LIMIT,
    MAX_COUNT,
    MAX_ELEMENTS,
    MAX_NAME_BYTES,
    WEIGHTED,
    Graph,
    Kind,
    Op,
    Rounding,
    Tensor,
)


def validate(graph: Graph) -> None:
    """Raise ModelError naming the first thing the engine would refuse."""
    if not 1 <= len(graph.tensors) <= MAX_COUNT or not 1 <= len(graph.ops) <= MAX_COUNT:
        raise ModelError(
            f"{len(graph.tensors)} tensors and {len(graph.ops)} operators, not 1 to {MAX_COUNT}"
        )
    for index, tensor in enumerate(graph.tensors):
        _tensor(index, tensor)
    for which, index in (("input", graph.input), ("output", graph.output)):
        if not 0 <= index < len(graph.tensors):
            raise ModelError(f"the graph's {which} is tensor {index} of {len(graph.tensors)}")
    ready = {graph.input}
    names: set[str] = set()
    for index, op in enumerate(graph.ops):
        where = f"operator {index} ({op.kind.name.lower()} {op.name!r})"
        for tensor_index in (*op.inputs, op.output):
            if not 0 <= tensor_index < len(graph.tensors):
                raise ModelError(f"{where}: tensor {tensor_index} of {len(graph.tensors)}")
        if missing := [i for i in op.inputs if i not in ready]:
            raise ModelError(f"{where}: reads tensor {missing[0]} before anything produced it")
        if op.output in ready:
            raise ModelError(f"{where}: tensor {op.output} is produced twice")
        if not op.name or len(op.name.encode()) > MAX_NAME_BYTES or "\0" in op.name:
            raise ModelError(f"{where}: a name has 1 to {MAX_NAME_BYTES} bytes and no zero byte")
        if op.name in names:
            raise ModelError(f"{where}: the name is used twice")
        names.add(op.name)
        ready.add(op.output)
        try:
            _op(graph, op)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None
    if graph.output not in ready:
        raise ModelError(f"nothing produces the graph's output, tensor {graph.output}")


def _tensor(index: int, tensor: Tensor) -> None:
    if min(tensor.shape) < 1 or tensor.h > 0xFFFF or tensor.w > 0xFFFF:
        raise ModelError(f"tensor {index}: shape {tensor.shape} is out of range")
    if tensor.size > MAX_ELEMENTS:
        raise ModelError(f"tensor {index}: {tensor.size} elements, at most {MAX_ELEMENTS}")
    if not (math.isfinite(tensor.scale) and tensor.scale > 0):
        raise ModelError(f"tensor {index}: scale {tensor.scale} is not positive and finite")
    if not INT8_MIN <= tensor.zero_point <= INT8_MAX:
        raise ModelError(f"tensor {index}: zero point {tensor.zero_point} is not an int8")


def _op(graph: Graph, op: Op) -> None:
    if len(op.inputs) != (2 if op.kind is Kind.ADD else 1):
        raise ModelError(f"{len(op.inputs)} inputs")
    if not INT8_MIN <= op.act_min <= op.act_max <= INT8_MAX:
        raise ModelError(f"clamp [{op.act_min}, {op.act_max}]")
    if not all(1 <= v <= 0xFFFF for v in (*op.kernel, *op.stride, op.channel_multiplier)):
        raise ModelError(f"kernel {op.kernel}, stride {op.stride} out of range 1..65535")
    if not all(0 <= v <= 0xFFFF for v in op.pads):
        raise ModelError(f"pads {op.pads} out of range 0..65535")
    if len(op.params) != 8 or not all(-(1 << 31) <= v < 1 << 31 for v in op.params):
        raise ModelError(f"parameters {op.params} are not eight int32")
    if (op.weights is None) != (op.kind not in WEIGHTED):
        raise ModelError("has no weights" if op.weights is None else "may not have weights")
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
    _shapes(graph, op, source, out)
    if op.weights is None and op.rounding is not Rounding.TWICE:
        raise ModelError("only operators with weights may round once")
    if op.weights is not None:
        _arrays(op, out)
        op.fold(source.zero_point)


def _shapes(graph: Graph, op: Op, source: Tensor, out: Tensor) -> None:
    expected: dict[Kind, tuple[int, int, int]] = {
        Kind.ADD: source.shape,
        Kind.SOFTMAX: source.shape,
        Kind.REQUANTIZE: source.shape,
        Kind.MEAN: (1, 1, source.c),
        Kind.PAD: (
            source.h + op.pads[0] + op.pads[2],
            source.w + op.pads[1] + op.pads[3],
            source.c,
        ),
    }
    if op.kind in expected and out.shape != expected[op.kind]:
        raise ModelError(f"output shape {out.shape}, expected {expected[op.kind]}")
    if op.kind is Kind.ADD and graph.tensors[op.inputs[1]].shape != source.shape:
        raise ModelError(f"adds {source.shape} and {graph.tensors[op.inputs[1]].shape}")
    if op.kind is Kind.RESHAPE and out.size != source.size:
        raise ModelError(f"reshapes {source.size} elements to {out.size}")
    if op.kind in (Kind.AVERAGE_POOL, Kind.MAX_POOL) and out.c != source.c:
        raise ModelError(f"pools {source.c} channels to {out.c}")
    if op.kind in (Kind.CONV2D, Kind.DEPTHWISE_CONV2D, Kind.AVERAGE_POOL, Kind.MAX_POOL):
        # Every window must touch the input, else its result would not depend on data.
        for size, count, kernel, stride, pad in zip(
            source.shape, out.shape, op.kernel, op.stride, op.pads, strict=False
        ):
            if pad >= kernel or (count - 1) * stride - pad >= size:
                raise ModelError(
                    f"a window (kernel {op.kernel}, stride {op.stride}, pads {op.pads}) of output "
                    f"{out.shape} lies wholly outside the input {source.shape}"
                )
    want = {
        Kind.CONV2D: (out.c, *op.kernel, source.c),
        Kind.DEPTHWISE_CONV2D: (*op.kernel, source.c * op.channel_multiplier),
        Kind.LINEAR: (out.size, source.size),
    }.get(op.kind)
    if op.weights is not None and want is not None and op.weights.shape != want:
        raise ModelError(f"weights {op.weights.shape}, expected {want}")


def _arrays(op: Op, out: Tensor) -> None:
    assert op.weights is not None
    channels = op.out_channels
    if channels != (out.size if op.kind is Kind.LINEAR else out.c):
        raise ModelError(f"{channels} output channels for an output of {out.shape}")
    if op.weights.dtype != np.int8 or op.weights.min() < -INT8_MAX:
        raise ModelError("weights must be int8 in [-127, 127]")
    for label, array, dtype in (
        ("bias", op.bias, np.int32),
        ("mult", op.mult, np.int32),
        ("shift", op.shift, np.int8),
        ("weight_scale", op.weight_scale, np.float32),
    ):
        if array is None or array.dtype != dtype or array.shape != (channels,):
            raise ModelError(f"{label} must be {np.dtype(dtype)} with {channels} entries")
    assert op.bias is not None and op.mult is not None
    assert op.shift is not None and op.weight_scale is not None
    if np.abs(op.bias.astype(np.int64)).max() > BIAS_LIMIT:
        raise ModelError(f"a bias exceeds 2^30: {op.bias}")
    if op.mult.min() < 0 or op.shift.min() < -31 or op.shift.max() > 30:
        raise ModelError("a multiplier is negative or a shift is outside -31..30")
    if not (np.isfinite(op.weight_scale).all() and (op.weight_scale > 0).all()):
        raise ModelError("a weight scale is not positive and finite")
