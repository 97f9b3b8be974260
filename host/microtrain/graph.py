"""The host's picture of an int8 network: what importers make and the image writer stores.

A graph is a list of activation tensors (NHWC, batch 1) and a list of operators in execution order.
Everything is already integer: importers compute multipliers, shifts and clamps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ModelError
from microtrain.fixed_point import INT8_MAX, INT8_MIN, Activation, activation_range

BIAS_LIMIT = 1 << 30
MAX_ELEMENTS = 1 << 24
MAX_COUNT = 4096
MAX_NAME_BYTES = 63


class Kind(IntEnum):
    """Operator kinds; the values are those of the model image."""

    CONV2D = 1
    DEPTHWISE_CONV2D = 2
    LINEAR = 3
    ADD = 4
    AVERAGE_POOL = 5
    MAX_POOL = 6
    MEAN = 7
    PAD = 8
    RESHAPE = 9
    SOFTMAX = 10
    REQUANTIZE = 11


class Rounding(IntEnum):
    """How an operator with weights requantises its sums; values as in the model image.

    TWICE is gemmlowp's (and TFLite's convolutions'), ONCE rounds ties away from zero.
    """

    TWICE = 0
    ONCE = 1


WEIGHTED = frozenset({Kind.CONV2D, Kind.DEPTHWISE_CONV2D, Kind.LINEAR})
KEEPS_SCALE = frozenset({Kind.AVERAGE_POOL, Kind.MAX_POOL, Kind.PAD, Kind.RESHAPE})


@dataclass(frozen=True)
class Tensor:
    """One activation: h × w × c int8 values, real value = scale · (q - zero_point)."""

    h: int
    w: int
    c: int
    scale: float
    zero_point: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.h, self.w, self.c

    @property
    def size(self) -> int:
        return self.h * self.w * self.c


@dataclass
class Op:
    """One operator.

    `weights` int8 in the image's layout: conv2d (out, kh, kw, in), depthwise (kh, kw, out),
    linear (out, in). `bias`, `mult` int32, `shift` int8 and `weight_scale` float32 hold one entry
    an output channel. `params` are the eight operator parameters of the image.
    """

    name: str
    kind: Kind
    inputs: tuple[int, ...]
    output: int
    activation: Activation = Activation.NONE
    act_min: int = INT8_MIN
    act_max: int = INT8_MAX
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    channel_multiplier: int = 1
    weights: NDArray[np.int8] | None = None
    bias: NDArray[np.int32] | None = None
    mult: NDArray[np.int32] | None = None
    shift: NDArray[np.int8] | None = None
    weight_scale: NDArray[np.float32] | None = None
    params: tuple[int, ...] = (0,) * 8
    rounding: Rounding = Rounding.TWICE

    @property
    def out_channels(self) -> int:
        """Output channels of an operator with weights, else 0."""
        if self.weights is None:
            return 0
        axis = 2 if self.kind is Kind.DEPTHWISE_CONV2D else 0
        return int(self.weights.shape[axis])

    def fold(self, zero_point: int) -> NDArray[np.int32]:
        """bias - input zero point × sum of the channel's weights; int32 per output channel."""
        assert self.weights is not None and self.bias is not None
        axes = (0, 1) if self.kind is Kind.DEPTHWISE_CONV2D else tuple(range(1, self.weights.ndim))
        sums = self.weights.astype(np.int64).sum(axis=axes)
        fold = self.bias.astype(np.int64) - zero_point * sums
        if np.abs(fold).max(initial=0) >= 1 << 31:
            raise ModelError(
                f"operator {self.name!r}: bias - zero point x sum of weights exceeds 32 bits"
            )
        return fold.astype(np.int32)


@dataclass
class Graph:
    """A network. `metadata` is the JSON object of the image: name, labels, provenance, input."""

    tensors: list[Tensor]
    ops: list[Op]
    input: int
    output: int
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    def op_index(self, name: str) -> int:
        """Index of the operator called `name`; raises ModelError where there is none."""
        for index, op in enumerate(self.ops):
            if op.name == name:
                return index
        raise ModelError(f"no operator is called {name!r}")

    def macs(self, op: Op) -> int:
        """Multiply-accumulates of one forward pass of `op` (0 without weights)."""
        if op.weights is None:
            return 0
        out = self.tensors[op.output]
        if op.kind is Kind.LINEAR:
            return int(op.weights.size)
        return out.h * out.w * int(op.weights.size)

    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(
            op.weights.size + op.bias.size
            for op in self.ops
            if op.weights is not None and op.bias is not None
        )


def clamp_fields(activation: Activation, out: Tensor) -> dict[str, Any]:
    """The `activation`, `act_min` and `act_max` fields of an operator that writes `out`."""
    act_min, act_max = activation_range(activation, out.scale, out.zero_point)
    return {"activation": activation, "act_min": act_min, "act_max": act_max}
