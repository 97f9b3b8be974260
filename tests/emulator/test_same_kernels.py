"""The kernels of every processor give the bytes of the generic ones: networks of random shapes and
extreme values, and some with long sums, trained on the boards and in the library."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import engine as E
import numpy as np
import pytest
from graphs import Builder, random_graph
from reference.training import Layer, ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Rounding
from microtrain.link import open_device
from microtrain.link.ports import EMULATED

RANDOM, LONG, ROUNDING, DENSE = 8, 2, 2, 6
STEPS, SEED, LR = 3, 5, 0.05

ON_THE_BOARD = """
import array, gc, hashlib, json, _microtrain
with open("cases.json") as file:
    cases = json.load(file)
data = open("cases.bin", "rb")
for bits, layers, bytes_of_image, size in cases:
    layers = [
        (op, bias, array.array("H", chosen) if isinstance(chosen, list) else chosen)
        for op, bias, chosen in layers
    ]
    model = _microtrain.Model(data.read(bytes_of_image))
    plan = _microtrain.Plan(model, layers, _microtrain.CROSS_ENTROPY, 0, False, bits, 0, 0)
    session = _microtrain.Session(plan, {seed})
    session.lr({lr})
    digest = hashlib.sha256()
    for label in range({steps}):
        session.forward(data.read(size))
        digest.update(session.output())  # its memory is the backward pass's next
        session.loss(label % 2)
        session.backward()
    digest.update(session.state())
    print(digest.digest().hex())
    session = plan = model = None
    gc.collect()
"""


def long_sums(rng: np.random.Generator, extreme: bool) -> Graph:
    """Sums longer than any kernel keeps at once, numbers of channels and pixels that are left over
    from its blocks, and every kind of clamp."""
    b = Builder(rng, 7, 5, 36, dead_channels=False)
    t = b.conv(0, 22, (3, 3), (1, 1), (1, 1), Activation.RELU6, extreme)
    t = b.conv(t, 292, activation=Activation.NONE, extreme=extreme)
    t = b.depthwise(t, activation=Activation.RELU)
    t = b.conv(t, 8, activation=Activation.RANGE, extreme=extreme)
    t = b.depthwise(t, 2, (3, 3), (2, 2), (1, 1))
    t = b.linear(t, 41, extreme=extreme)
    b.linear(t, 6, extreme=extreme)
    return b.graph


def dense(rng: np.random.Generator, extreme: bool) -> Graph:
    """1x1 convolutions with few gradients that are zero, and with numbers of pixels and channels
    that are left over from blocks, pairs and words."""
    b = Builder(rng, *((9, 7), (2, 1), (16, 5))[rng.integers(3)], 12, dead_channels=False)
    t = b.conv(0, 40, extreme=extreme)
    t = b.conv(t, int(rng.choice([57, 38, 132])), extreme=extreme)
    t = b.conv(t, 8, extreme=extreme)
    t = b.conv(t, 20, extreme=extreme)
    t = b.linear(t, 19, extreme=extreme)
    b.linear(t, 6, extreme=extreme)
    return b.graph


def roundings(rng: np.random.Generator, rounding: Rounding) -> Graph:
    """Accumulators where the fast forms of requantisation end and the exact ones begin, and
    multipliers that make ties, for every shift."""
    b = Builder(rng, 4, 4, 4, dead_channels=False)
    t = b.conv(0, 252, activation=Activation.RANGE)
    op = b.graph.ops[-1]
    edges = np.array([1, 2, 4, 8, 64]) * 2**15
    around = rng.choice(edges, 252) * rng.choice([-1, 1], 252) + rng.integers(-300, 300, 252)
    halves = (rng.integers(-600, 600, 252) * 2 + 1) * 2 ** rng.integers(1, 12, 252)
    special = [2**30, 2**30 + 1, 2**31 - 1, 0x60008000, 0x5FFF8000, 0x7FFF8000, 0x40010000]
    mult = np.append(special, rng.integers(2**30, 2**31, 3))
    b.graph.ops[-1] = replace(
        op, rounding=rounding, mult=rng.choice(mult, 252).astype(np.int32),
        weights=rng.integers(-2, 3, op.weights.shape).astype(np.int8),
        bias=np.where(rng.random(252) < 0.5, around, halves).astype(np.int32),
        shift=-(np.arange(252) % 14).astype(np.int8),
    )  # fmt: skip
    b.linear(t, 6)
    return b.graph


Case = tuple[int, Graph, dict[int, E.Layer], np.ndarray]


def cases() -> list[Case]:
    """(bits of a gradient, network, what is trained, samples)"""
    found = []
    for seed in range(RANDOM + LONG + ROUNDING + DENSE):
        rng = np.random.default_rng(900 + seed)
        extreme = seed % 3 == 2
        if seed < RANDOM:
            graph = random_graph(rng, 6, extreme, largest=20 if seed % 4 == 0 else 8)
        elif seed < RANDOM + LONG:
            graph = long_sums(rng, extreme)
        elif seed < RANDOM + LONG + ROUNDING:
            graph = roundings(rng, Rounding(seed % 2))
        else:
            graph = dense(rng, extreme)
        layers = random_layers(rng, graph, len(ReferenceTrainer(graph, {}).ops))
        if seed >= RANDOM + LONG + ROUNDING:
            layers |= {0: Layer(True, [0, 1, 2, 3, 4, 5, 6, 7]), 2: Layer(False, [*range(32)])}
        shape = (STEPS, *graph.tensors[graph.input].shape)
        samples = rng.integers(-128, 128, shape).astype(np.int8)
        if extreme:
            samples = rng.choice(np.array([-128, 127], np.int8), shape)
        found.append((8 if seed % 2 else 12, graph, engine_layers(layers, graph), samples))
    return found


def in_the_library(case: Case) -> str:
    bits, graph, layers, samples = case
    plan = E.Plan(E.Model(image.to_bytes(graph)), layers, E.CROSS_ENTROPY, gradient_bits=bits)
    session = E.Session(plan, seed=SEED, lr=LR)
    digest = hashlib.sha256()
    for label, x in enumerate(samples):
        digest.update(session.forward(x).tobytes())
        session.cross_entropy(label % 2)
        session.backward()
    digest.update(session.state.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("port", EMULATED)
def test_same_bytes(port: str) -> None:
    todo = cases()
    described, data = [], b""
    for bits, graph, layers, samples in todo:
        net = image.to_bytes(graph)
        trained = [(op, layer.bias, layer.channels) for op, layer in layers.items()]
        described.append((bits, trained, len(net), samples[0].size))
        data += net + samples.tobytes()
    with open_device(port) as device:
        device.write("cases.json", json.dumps(described).encode())
        device.write("cases.bin", data)
        code = ON_THE_BOARD.format(seed=SEED, lr=LR, steps=STEPS)
        digests = device.exec(code, timeout=240).split()
    differing = [
        i for i, (case, digest) in enumerate(zip(todo, digests, strict=True))
        if digest != in_the_library(case)
    ]  # fmt: skip
    assert not differing
