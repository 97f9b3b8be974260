"""Sessions: inference, new heads, checkpoints of the state, and schemes that grow."""

from __future__ import annotations

import engine as E
import numpy as np
import pytest
from graphs import Builder, random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.forward import run_graph

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind


def network(seed: int = 0) -> Graph:
    b = Builder(np.random.default_rng(seed), 6, 5, 4, dead_channels=False)
    t = b.conv(0, 9, (3, 3), (1, 1), (1, 1), Activation.RELU6)
    skip = t
    t = b.depthwise(t, activation=Activation.RANGE)
    t = b.conv(t, 9)
    t = b.add(skip, t)
    t = b.mean(t)
    b.linear(t, 5)
    return b.graph


def train(session: E.Session, steps: int, seed: int = 1, classes: int = 5) -> None:
    rng = np.random.default_rng(seed)
    for i in range(steps):
        session.step(rng.integers(-128, 128, session.input_shape).astype(np.int8), i % classes)


def plan(layers: dict[int, E.Layer], classes: int = 0, model: E.Model | None = None) -> E.Plan:
    return E.Plan(model or E.Model(image.to_bytes(network())), layers, E.CROSS_ENTROPY, classes)


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(0, 9))
def test_inference_equals_the_reference(seed: int, operators: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, operators)
    session = E.Session(E.Plan(E.Model(image.to_bytes(graph))))
    for _ in range(2):
        x = rng.integers(-128, 128, session.input_shape).astype(np.int8)
        difference = np.abs(session.forward(x).astype(int) - run_graph(graph, x).reshape(-1))
        assert difference.max() <= (graph.ops[-1].kind is Kind.SOFTMAX)
    assert session.guards_intact()


def test_a_new_head_starts_at_zero_and_learns() -> None:
    b = Builder(np.random.default_rng(1), 4, 4, 3)
    b.linear(b.conv(0, 6, activation=Activation.RELU), 5)
    model = E.Model(image.to_bytes(b.graph))
    session = E.Session(plan({1: E.Layer(True, E.ALL)}, 3, model), lr=0.05)
    rng = np.random.default_rng(2)
    samples = rng.integers(-128, 128, (6, *session.input_shape)).astype(np.int8)
    assert session.c.classes == 3
    assert not session.forward(samples[0]).any()
    first = [session.step(x, i % 3) for i, x in enumerate(samples)]
    for _ in range(60):
        last = [session.step(x, i % 3) for i, x in enumerate(samples)]
    assert first[0] == pytest.approx(np.log(3) * 65536, abs=2)
    assert sum(last) < 0.5 * sum(first)


def test_rows_of_the_head_widen() -> None:
    head = len(network().ops) - 1
    session = E.Session(plan({head: E.Layer(True, E.ALL)}, classes=3), lr=0.5)
    at = session.plan.c.ops[head].state
    before = session.state[at : at + 12].view(np.float32).copy()
    train(session, 50, classes=3)
    after = session.state[at : at + 12].view(np.float32)
    ratios = np.log2(after / before)
    assert (ratios >= 1).any() and (ratios == ratios.round()).all()


@pytest.mark.parametrize("after", [0, 1, 17])
def test_a_restored_state_goes_on_identically(after: int) -> None:
    layers = {
        0: E.Layer(True, 2),
        1: E.Layer(True, E.ALL),
        2: E.Layer(True, [0, 3, 8]),
        5: E.Layer(True, E.ALL),
    }
    first = E.Session(plan(layers), seed=9, lr=0.02)
    train(first, after)
    second = E.Session(plan(layers), seed=1, lr=0.02)
    second.state[:] = first.state
    second.refresh()
    train(first, 20, seed=3)
    train(second, 20, seed=3)
    assert first.state.tobytes() == second.state.tobytes()


def test_a_scheme_may_grow_while_training_goes_on() -> None:
    model = E.Model(image.to_bytes(network()))
    small = E.Session(
        plan({2: E.Layer(False, [1, 4]), 5: E.Layer(True, E.ALL)}, model=model), lr=0.05
    )
    train(small, 30)
    layers = {0: E.Layer(True, 0), 2: E.Layer(True, E.ALL), 5: E.Layer(True, E.ALL)}
    large = E.Session(plan(layers, model=model), lr=0.05)
    x = np.random.default_rng(8).integers(-128, 128, small.input_shape).astype(np.int8)
    assert (large.forward(x) != small.forward(x)).any()
    large.carry_from(small)
    np.testing.assert_array_equal(large.forward(x), small.forward(x))
    back = E.Session(plan({5: E.Layer(True, E.ALL)}, model=model))
    untouched = back.state.tobytes()
    with pytest.raises(E.EngineError) as caught:
        back.carry_from(large)
    assert (caught.value.code, caught.value.op) == (-8, 0)
    assert back.state.tobytes() == untouched


def test_depthwise_channels_grow_too() -> None:
    b = Builder(np.random.default_rng(4), 5, 5, 3, dead_channels=False)
    t = b.depthwise(0, 2, activation=Activation.RELU)
    b.linear(t, 4)
    model = E.Model(image.to_bytes(b.graph))
    small = E.Session(plan({0: E.Layer(True, [2]), 1: E.Layer(True, E.ALL)}, model=model), lr=0.1)
    train(small, 30, classes=4)
    large = E.Session(plan({0: E.Layer(True, E.ALL), 1: E.Layer(True, E.ALL)}, model=model))
    large.carry_from(small)
    x = np.random.default_rng(8).integers(-128, 128, small.input_shape).astype(np.int8)
    np.testing.assert_array_equal(large.forward(x), small.forward(x))


def test_an_untrained_session_computes_what_the_image_says() -> None:
    """Trainable copies of every tensor change nothing before the first step."""
    graph = network()
    layers = {i: E.Layer(True, E.ALL) for i in (0, 1, 2, 5)}
    trained = E.Session(plan(layers), lr=0.0)
    frozen = E.Session(E.Plan(E.Model(image.to_bytes(graph)), {}, E.CROSS_ENTROPY))
    for seed in range(5):
        x = np.random.default_rng(seed).integers(-128, 128, trained.input_shape).astype(np.int8)
        np.testing.assert_array_equal(trained.forward(x), frozen.forward(x))


def test_autoencoder_learns_its_input() -> None:
    b = Builder(np.random.default_rng(6), 1, 1, 12, dead_channels=False)
    t = b.linear(0, 6, Activation.RELU)
    b.linear(t, 12)
    layers = {0: E.Layer(True, E.ALL), 1: E.Layer(True, E.ALL)}
    session = E.Session(E.Plan(E.Model(image.to_bytes(b.graph)), layers, E.MSE), lr=0.02)
    rng = np.random.default_rng(3)
    source = b.graph.tensors[0]
    samples = rng.integers(-128, 128, (4, 12)).astype(np.int8)
    targets = np.round((samples.astype(float) - source.zero_point) * source.scale * 65536).astype(
        np.int32
    )
    losses = []
    for _ in range(300):
        total = 0
        for x, target in zip(samples, targets, strict=True):
            session.forward(x)
            total += session.mse(target)
            session.backward()
        losses.append(total)
    assert losses[-1] < 0.2 * losses[0]
