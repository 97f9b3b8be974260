"""The operators that benchmarks measure, one at a time, and networks that hold each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import engine as E
from graphs import Builder

from microtrain.graph import Graph

CLASSES = 10
BELOW, TESTED = 0, 1  # operators of the graphs below
# What is trained, so that the tested operator's part of a step is that pass and no other.
INPUT = {BELOW: E.Layer(True)}
WEIGHT = {TESTED: E.Layer(False, E.ALL)}


@dataclass(frozen=True)
class Kernel:
    """One operator on an input of (h, w, c), appended to a graph by `append(builder, input)`."""

    name: str
    shape: str
    source: tuple[int, int, int]
    append: Callable[[Builder, int], int]


KERNELS = (
    Kernel("conv2d_1x1", "8x8x96->160", (8, 8, 96), lambda b, t: b.conv(t, 160)),
    Kernel("conv2d_1x1", "16x16x16->96", (16, 16, 16), lambda b, t: b.conv(t, 96)),
    Kernel("conv2d_3x3_s2", "32x32x3->16", (32, 32, 3),
           lambda b, t: b.conv(t, 16, (3, 3), (2, 2), (1, 1))),
    Kernel("depthwise_conv2d_3x3", "16x16x96", (16, 16, 96), lambda b, t: b.depthwise(t)),
    Kernel("linear", "640->128", (1, 1, 640), lambda b, t: b.linear(t, 128)),
)  # fmt: skip


def graph_of(kernel: Kernel) -> Graph:
    """The operator between a cheap one, whose bias can be trained, and a classifier."""
    b = Builder(np.random.default_rng(0), *kernel.source, dead_channels=False)
    t = b.depthwise(0, kernel=(1, 1), pad=(0, 0))
    t = kernel.append(b, t)
    out = b.graph.tensors[t]
    if (out.h, out.w) != (1, 1):
        # A mean alone would give all pixels the same gradient, which costs far less.
        t = b.mean(b.depthwise(t, stride=(2, 2)))
    b.linear(t, CLASSES)
    return b.graph
