"""Small networks around one depthwise convolution each, of all shapes that its code knows."""

from __future__ import annotations

from dataclasses import dataclass

import engine as E
import numpy as np
from graphs import Builder
from numpy.typing import NDArray

from microtrain.fixed_point import Activation
from microtrain.graph import Graph

STEPS = 3
LR = 2.0**-6
SEED = 3


@dataclass(frozen=True)
class Net:
    """The convolution's input, window and clamp; weights and inputs at the ends of their range;
    its sums shifted further to the right than its scales say."""

    source: tuple[int, int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (1, 1)
    activation: Activation = Activation.RELU6
    multiplier: int = 1
    extreme: bool = False
    right: int = 0

    def graph(self) -> Graph:
        b = Builder(np.random.default_rng(1), *self.source)
        t = b.depthwise(0, kernel=(1, 1), pad=(0, 0))
        t = b.depthwise(t, self.multiplier, self.kernel, self.stride, self.pad, self.activation,
                        self.extreme)  # fmt: skip
        op = b.graph.ops[-1]
        assert op.shift is not None
        op.shift = np.maximum(op.shift - np.int8(self.right), -30).astype(np.int8)
        b.linear(b.mean(t), 4)
        return b.graph

    def samples(self) -> NDArray[np.int8]:
        rng, shape = np.random.default_rng(2), (STEPS, *self.source)
        if self.extreme:
            return rng.choice(np.array([-128, 127], np.int8), shape)
        return rng.integers(-128, 128, shape).astype(np.int8)


# Widths that are whole fours of columns and not; kernels of every width, larger than the map;
# maps that need more than one band of rows; channels in eights (masks of whole bytes) and not.
NETS = (
    Net((16, 16, 8), activation=Activation.RANGE),
    Net((9, 7, 5)),
    Net((8, 8, 8), extreme=True, activation=Activation.NONE),
    Net((10, 13, 3), (5, 5), (1, 1), (2, 2)),
    Net((8, 8, 8), (5, 5), (1, 1), (2, 2), Activation.RANGE, extreme=True),
    Net((4, 4, 16), (7, 7), (1, 1), (3, 3), Activation.RANGE),
    Net((5, 2, 3), (7, 7), (1, 1), (3, 3)),
    Net((12, 12, 8), (3, 3), (2, 2), (1, 1), Activation.RANGE),
    Net((11, 9, 3), (5, 5), (2, 2), (2, 2)),
    Net((8, 12, 2), (7, 7), (2, 2), (3, 3), extreme=True),
    Net((7, 8, 3), (3, 3), (2, 1), (0, 1)),
    Net((7, 8, 3), (3, 3), (1, 2), (2, 2)),
    Net((9, 9, 2), (2, 2), (2, 2), (0, 0)),
    Net((6, 10, 3), (4, 4), (1, 1), (1, 2)),
    Net((6, 10, 3), (4, 6), (2, 2), (1, 2)),
    Net((9, 14, 2), (2, 8), (1, 1), (1, 3)),
    Net((40, 41, 2)),
    Net((40, 44, 2), (5, 5), (2, 2), (2, 2)),
    Net((30, 62, 1), (7, 7), (1, 1), (3, 3), Activation.RANGE),
    Net((12, 12, 6), (5, 5), (1, 1), (2, 2), Activation.NONE, extreme=True, right=7),
    Net((8, 9, 8), (7, 7), (1, 1), (3, 3), Activation.RANGE, right=4),
    Net((8, 8, 8), (3, 3), (1, 1), (1, 1), Activation.RELU, right=-4),
    Net((7, 8, 8), (3, 3), (1, 1), (1, 1), Activation.RANGE, right=14),
    Net((7, 8, 8), (3, 3), (1, 1), (1, 1), Activation.RELU, right=20),
    Net((9, 8, 3), (3, 3), (3, 3), (1, 1)),
    Net((3, 1, 3), (3, 1), (1, 1), (1, 0)),
    Net((5, 5, 3), (3, 3), (1, 1), (1, 1), multiplier=2),
    Net((6, 20, 2), (3, 9), (1, 1), (1, 4)),
)


def layers_of(graph: Graph) -> dict[int, E.Layer]:
    """Everything learns."""
    return {i: E.Layer(True, E.ALL) for i, op in enumerate(graph.ops) if op.weights is not None}
