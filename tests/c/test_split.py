"""An operator in two halves, one after the other or in two threads, gives the bytes of the whole:
networks of every operator, with and without masks, mixed weights and additions."""

from __future__ import annotations

import threading
from collections.abc import Callable

import engine as E
import numpy as np
import pytest
from graphs import Builder, random_graph
from reference.training import ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph

STEPS, SEED, LR = 3, 7, 0.05
Half = Callable[[int], None]


def in_order(half: Half, first: int, second: int) -> None:
    half(first)
    half(second)


def the_other_way_round(half: Half, first: int, second: int) -> None:
    half(second)
    half(first)


def at_once(half: Half, first: int, second: int) -> None:
    thread = threading.Thread(target=half, args=(second,))
    thread.start()
    half(first)
    thread.join()


SPLITS = (in_order, the_other_way_round, at_once)


def trained(session: E.Session, samples: np.ndarray) -> list[bytes]:
    """What every step leaves."""
    found = []
    for label, x in enumerate(samples):
        found.append(session.forward(x).tobytes())
        found.append(session.cross_entropy(label % 2).to_bytes(4, "little"))
        session.backward()
        found.append(session.state.tobytes())
    return found


def check(
    graph: Graph, layers: dict[int, E.Layer], samples: np.ndarray, bits: int = 8,
    stream: int = E.STREAM_NONE,
) -> int:  # fmt: skip
    """Returns how often an operator ran in halves."""
    model, calls = E.Model(image.to_bytes(graph)), 0

    def counted(split: Callable[[Half, int, int], None]) -> Callable[[Half, int, int], None]:
        def run(half: Half, first: int, second: int) -> None:
            nonlocal calls
            calls += 1
            split(half, first, second)

        return run

    plan = E.Plan(model, layers, E.CROSS_ENTROPY, gradient_bits=bits)
    expected = trained(E.Session(plan, seed=SEED, lr=LR), samples)
    for split in SPLITS:
        plan = E.Plan(
            model, layers, E.CROSS_ENTROPY, gradient_bits=bits, stream=stream, cores=2
        )
        session = E.Session(plan, seed=SEED, lr=LR)
        session.set_split(counted(split))
        assert trained(session, samples) == expected, split.__name__
        assert session.guards_intact()
    return calls


def test_random_networks() -> None:
    calls = 0
    for seed in range(60):
        rng = np.random.default_rng(700 + seed)
        graph = random_graph(rng, 6, seed % 3 == 2, largest=20 if seed % 4 == 0 else 8)
        layers = random_layers(rng, graph, len(ReferenceTrainer(graph, {}).ops))
        shape = (STEPS, *graph.tensors[graph.input].shape)
        samples = rng.integers(-128, 128, shape).astype(np.int8)
        calls += check(graph, engine_layers(layers, graph), samples, 8 if seed % 2 else 12)
    assert calls > 1000


@pytest.mark.parametrize("activation", [Activation.RANGE, Activation.RELU6])
def test_large_convolutions(activation: Activation) -> None:
    """Shapes that fill several blocks, and masks whose rows share bytes."""
    rng = np.random.default_rng(3)
    b = Builder(rng, 11, 9, 12, dead_channels=False)
    t = b.conv(0, 20, (3, 3), (1, 1), (1, 1), activation)
    t = b.depthwise(t, activation=activation)
    t = b.conv(t, 13, activation=activation)
    t = b.conv(t, 64, activation=activation)
    t = b.depthwise(t, 1, (3, 3), (2, 2), (1, 1))
    b.linear(t, 6)
    layers = {0: E.Layer(True, [1, 5, 6]), 1: E.Layer(True, E.ALL), 3: E.Layer(True, [0, 2, 9])}
    samples = rng.integers(-128, 128, (STEPS, 11, 9, 12)).astype(np.int8)
    assert check(b.graph, layers, samples) >= 3 * STEPS * 7


def test_row_by_row() -> None:
    """Halves of channels, of which some are no multiple of four, and some too few."""
    rng = np.random.default_rng(4)
    b = Builder(rng, 40, 11, 3)
    t = b.conv(0, 14, (3, 3), (2, 2), (1, 1), Activation.RELU6)
    start = b.conv(t, 8)
    t = b.conv(start, 20, (1, 1), (1, 1), activation=Activation.RELU6)
    t = b.depthwise(t, 1, (5, 5), (1, 1), (2, 2), activation=Activation.RELU6)
    t = b.add(b.conv(t, 8), start)
    t = b.depthwise(t, 2, (3, 3), (2, 2), (1, 1))
    t = b.depthwise(b.conv(t, 3), 1, (3, 3), (1, 1), (1, 1))
    t = b.conv(t, 12, (3, 3), (2, 2))
    b.linear(t, 5)
    head = len(b.graph.ops) - 1
    layers = {head - 1: E.Layer(True, E.ALL), head: E.Layer(True, E.ALL)}
    plan = E.Plan(E.Model(image.to_bytes(b.graph)), layers, E.CROSS_ENTROPY, stream=E.STREAM_INPUT)
    assert plan.c.stream_ops >= 8 and plan.c.input_rows
    samples = rng.integers(-128, 128, (STEPS, 40, 11, 3)).astype(np.int8)
    for stream in (E.STREAM_OPERATORS, E.STREAM_INPUT):
        # Rows of 20, 10 and 5 of these operators; a convolution of 3 channels stays whole.
        assert check(b.graph, layers, samples, stream=stream) > STEPS * 100


def test_memory_is_planned_only_where_asked_for() -> None:
    rng = np.random.default_rng(5)
    b = Builder(rng, 8, 8, 8)
    b.linear(b.conv(b.conv(0, 16), 16), 4)
    model = E.Model(image.to_bytes(b.graph))
    layers = {0: E.Layer(True, E.ALL)}
    one, two = (E.Plan(model, layers, E.CROSS_ENTROPY, cores=cores) for cores in (1, 2))
    assert one.info.total_bytes == E.Plan(model, layers, E.CROSS_ENTROPY).info.total_bytes
    assert two.info.total_bytes > one.info.total_bytes
    with pytest.raises(E.EngineError):
        E.Session(one).set_split(in_order)
    with pytest.raises(E.EngineError):
        E.Plan(model, layers, E.CROSS_ENTROPY, cores=3)
