"""Makes the golden vectors that `microtrain selftest` runs on a board: every operator, forward and
backward, as the numpy reference computes them.

.venv/bin/python tests/selftest_vectors.py      writes host/microtrain/selftest/vectors.json
"""

from __future__ import annotations

import json
import struct
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from graphs import Builder
from reference.forward import run_graph
from reference.training import Layer, ReferenceTrainer, Shift

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import WEIGHTED, Graph, Kind

PATH = Path(__file__).resolve().parents[1] / "host/microtrain/selftest/vectors.json"
STEPS = 2
CLASSES = 5
NONE, RELU, RELU6 = Activation.NONE, Activation.RELU, Activation.RELU6


@dataclass(frozen=True)
class Case:
    """A small network that ends in a classifier, and how it is trained."""

    name: str
    shape: tuple[int, int, int]
    build: Callable[[Builder], int]
    loss: str = "cross_entropy"
    wide: bool = False
    scheme: str = "full"  # or "sparse": every other input channel
    softmax: bool = False
    gradient_bits: int = 8


def two_convolutions(b: Builder, activation: Activation) -> int:
    return b.conv(b.conv(0, 5, (3, 3), pad=(1, 1), activation=activation), 6, (2, 2), (2, 2))


def residual(b: Builder) -> int:
    x = b.conv(0, 6, activation=RELU6)
    return b.add(x, b.conv(x, 6, (3, 3), pad=(1, 1)), RELU)


def padded(b: Builder) -> int:
    return b.conv(b.pad(b.conv(0, 4, activation=RELU), (1, 0, 2, 1)), 5, (3, 3), (2, 2))


def reshaped(b: Builder) -> int:
    x = b.conv(0, 6, activation=RELU)
    return b.conv(b.reshape(x, 4, 2, 12), 4, (2, 1))


def pooled(b: Builder, kind: Kind) -> int:
    return b.pool(b.conv(0, 6, (3, 3), activation=RELU), kind, (2, 2), (2, 2))


CASES = [
    Case("conv2d", (6, 6, 3), lambda b: two_convolutions(b, RELU)),
    Case("conv2d 1x1", (4, 4, 8), lambda b: b.conv(b.conv(0, 16, activation=RELU6), 8)),
    Case("conv2d sparse", (6, 6, 4), lambda b: two_convolutions(b, RELU6), scheme="sparse"),
    Case("conv2d wide", (6, 6, 3), lambda b: two_convolutions(b, RELU), wide=True),
    Case("depthwise_conv2d", (6, 6, 8), lambda b: b.depthwise(
        b.depthwise(b.conv(0, 8, activation=RELU6), activation=RELU), stride=(2, 2))),
    Case("depthwise_conv2d 5x5, multiplier 2", (6, 6, 3), lambda b: b.depthwise(
        b.conv(0, 4), 2, (5, 5), pad=(2, 2), activation=RELU6), scheme="sparse"),
    Case("linear", (1, 1, 20), lambda b: b.linear(b.linear(0, 12, RELU), 8)),
    Case("add", (4, 4, 3), residual),
    Case("average_pool", (6, 6, 3), lambda b: pooled(b, Kind.AVERAGE_POOL)),
    Case("max_pool", (6, 6, 3), lambda b: pooled(b, Kind.MAX_POOL)),
    Case("mean", (4, 4, 3), lambda b: b.mean(b.conv(0, 10, activation=RELU))),
    Case("pad", (4, 4, 3), padded),
    Case("reshape", (4, 4, 3), reshaped),
    Case("softmax", (4, 4, 3), lambda b: b.conv(0, 4, (2, 2), (2, 2), activation=RELU),
         softmax=True),
    Case("requantize", (4, 4, 3), lambda b: b.requantize(b.conv(0, 6), RELU)),
    Case("relu_n1_to_1", (4, 4, 3), lambda b: b.conv(0, 6, activation=Activation.RELU_N1_TO_1)),
    Case("range", (4, 4, 3), lambda b: b.conv(0, 6, activation=Activation.RANGE)),
    Case("conv2d, gradients of 12 bits", (6, 6, 3), lambda b: two_convolutions(b, RELU),
         gradient_bits=12),
    Case("depthwise_conv2d and add, gradients of 12 bits", (4, 4, 4), lambda b: b.depthwise(
        residual(b)), gradient_bits=12),
    Case("pools, gradients of 12 bits", (8, 8, 3), lambda b: b.mean(b.pool(
        pooled(b, Kind.MAX_POOL), Kind.AVERAGE_POOL, (2, 2), (1, 1))), gradient_bits=12),
    Case("mean squared error", (4, 4, 3), lambda b: b.conv(0, 6, activation=RELU), loss="mse"),
]  # fmt: skip


def text(data: bytes) -> str:
    return b64encode(data).decode()


def layers_of(graph: Graph, executed: int, scheme: str) -> dict[int, Layer]:
    result = {}
    for index, op in enumerate(graph.ops[:executed]):
        if op.kind in WEIGHTED:
            source = graph.tensors[op.inputs[0]]
            channels = source.size if op.kind is Kind.LINEAR else source.c
            step = 2 if scheme == "sparse" and index < executed - 1 else 1
            result[index] = Layer(True, list(range(0, channels, step)))
    return result


def state_of(reference: ReferenceTrainer) -> bytes:
    """The engine's state, after firmware/README.md."""
    state = struct.pack("<II", reference.rng.x, 0)
    for index in range(len(reference.ops)):
        for k in range(2):
            shift = reference.shifts.get((index, k), Shift())
            state += bytes([shift.shift, shift.low, shift.seen, 0])
    for index in sorted(reference.layers):
        op, trained = reference.ops[index], reference.trained(index)
        parts = [(name, trained[name]) for name in ("master", "weights", "fraction")
                 if name in trained]  # fmt: skip
        if reference.logits and index == len(reference.ops) - 1 and "weights" in trained:
            parts.insert(0, ("scale", op.weight_scale))
        kinds = {"scale": "<f4", "master": "<i4", "weights": "i1", "fraction": "i1"}
        for name, values in parts:
            data = np.asarray(values).astype(kinds[name]).tobytes()
            state += data + bytes(-len(data) % 4)
    return state + bytes(-len(state) % 8)


def loss_of(z: np.ndarray[Any, Any], target: Any) -> float:
    """In floating point; the engine's fixed point is within 0.01."""
    real = z / 65536.0
    if isinstance(target, int):
        return float(np.log(np.exp(real - real.max()).sum()) + real.max() - real[target])
    return float(np.mean((real - target) ** 2))


def make(case: Case, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    build = Builder(rng, *case.shape, dead_channels=False)
    head = build.linear(case.build(build), CLASSES)
    if case.softmax:
        build.softmax(head)
    graph = build.graph
    graph.metadata = {"name": case.name}
    executed = len(graph.ops) - case.softmax
    layers = layers_of(graph, executed, case.scheme)
    lr = 2.0**-4
    reference = ReferenceTrainer(
        graph, layers, case.loss, seed=seed, lr=lr, wide="all" if case.wide else "head",
        bits=case.gradient_bits,
    )
    before = {i: reference.trained(i) for i in layers}
    samples = [rng.integers(-128, 128, case.shape).astype(np.int8) for _ in range(STEPS)]
    steps = []
    for x in samples:
        if case.loss == "mse":
            target: Any = np.round(rng.uniform(-2, 2, CLASSES) * 256) / 256
            given: Any = text(target.astype("<f4").tobytes())
            internal: Any = (target * 65536).astype(np.int64)
        else:
            target = given = internal = int(rng.integers(CLASSES))
        z = reference.forward(x)
        reference.loss(z, internal)
        reference.backward()
        steps.append({
            "x": text(x.tobytes()), "y": given, "output": text(z.astype("<i4").tobytes()),
            "loss": round(loss_of(z, target), 4),
        })  # fmt: skip
    for index, old in before.items():
        new = reference.trained(index)
        for part in ("master", "weights"):
            changed = np.mean(np.asarray(old[part]) != np.asarray(new[part]))
            assert changed > 0.1, f"{case.name}: {part} of {index} change in {changed:.0%} only"
    return {
        "name": case.name, "image": text(image.to_bytes(graph)), "loss": case.loss,
        "layers": [[i, layer.bias, layer.channels] for i, layer in layers.items()],
        "wide": case.wide, "gradient_bits": case.gradient_bits, "seed": seed, "lr": lr,
        "output": text(run_graph(graph, samples[0]).astype(np.int8).tobytes()),
        "steps": steps, "state": text(state_of(reference)),
    }  # fmt: skip


def speed_image() -> bytes:
    """A small network of the usual kind: 83,000 multiply-accumulates at 24x24."""
    b = Builder(np.random.default_rng(1), 24, 24, 3, dead_channels=False)
    x = b.conv(0, 8, (3, 3), (2, 2), (1, 1), RELU6)
    for channels, stride in ((16, 1), (32, 2)):
        x = b.conv(b.depthwise(x, stride=(stride, stride), activation=RELU6), channels,
                   activation=RELU6)  # fmt: skip
    b.linear(b.pool(x, Kind.AVERAGE_POOL, (6, 6), (6, 6)), 10)
    b.graph.metadata = {"name": "speed"}
    return image.to_bytes(b.graph)


def vectors() -> str:
    """The file's content."""
    cases = [make(case, seed) for seed, case in enumerate(CASES, 1)]
    return json.dumps({"cases": cases, "speed": text(speed_image())}, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(PATH.write_text(vectors()) < 0)
