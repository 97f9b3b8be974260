"""Whole training steps of random graphs: the state equals the numpy reference bit for bit."""

from __future__ import annotations

import engine as E
import numpy as np
import pytest
from graphs import Builder, random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.optimizer import Rule
from reference.training import PLAIN, ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph

WIDE = {"head": E.WIDE_HEAD, "none": E.WIDE_NONE, "all": E.WIDE_ALL}


def trained_bytes(session: E.Session, index: int, reference: ReferenceTrainer) -> None:
    """Compare the trained tensors of one operator."""
    plan, expected = session.plan.c.ops[index], reference.trained(index)
    velocity = np.int16 if plan.flags >> 14 == 2 else np.int8
    if plan.flags & 256 and plan.channels:  # a trained head keeps its scales
        expected = {"scale": reference.ops[index].weight_scale} | expected
    parts = {
        "scale": np.float32, "master": np.int32, "weights": np.int8, "fraction": np.int8,
        "weights velocity": velocity, "weights exponents": np.int8,
        "bias velocity": velocity, "bias exponents": np.int8,
    }  # fmt: skip
    at = plan.state
    for name, dtype in parts.items():
        if name not in expected:
            continue
        size = len(expected[name]) * np.dtype(dtype).itemsize
        got = session.state[at : at + size].view(dtype)
        np.testing.assert_array_equal(got, expected[name], err_msg=name)
        at += (size + 3) // 4 * 4


def plan_anywhere(
    rng: np.random.Generator, model: E.Model, layers: dict[int, E.Layer], loss: int, wide: int,
    bits: int, momentum_bits: int,
) -> E.Plan:  # fmt: skip
    """A plan with its arena in one piece, or, where it fits, in several."""
    options = {
        "wide": wide, "gradient_bits": bits, "momentum_bits": momentum_bits,
        "stream": int(rng.integers(3)),
    }  # fmt: skip
    plan = E.Plan(model, layers, loss, **options)
    shares = rng.dirichlet(np.ones(int(rng.integers(1, E.REGIONS + 1))))
    if rng.random() < 0.5:
        regions = [int(share * 1.4 * plan.info.arena_bytes) for share in shares]
        try:
            return E.Plan(model, layers, loss, regions=regions, **options)
        except E.EngineError as error:
            assert error.code == -9
    return plan


def check_steps(
    seed: int, operators: int, steps: int = 3, extreme: bool = False, rule: Rule = PLAIN,
    graph: Graph | None = None,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    graph = graph or random_graph(rng, operators, extreme)
    largest = 1 if rule.qas else 31  # of the rate: there is none from 2^31 on
    lr = (
        float(np.float32(2.0 ** rng.uniform(-9, largest - 1)))
        if rng.random() < 0.5
        else 2.0 ** int(rng.integers(-9, largest))
    )
    exact = bool(rng.random() < 0.3)
    mse = bool(rng.random() < 0.3)
    wide = rng.choice(["head", "none", "all"])
    bits = int(rng.choice([8, 12]))
    probe = ReferenceTrainer(graph, {})
    layers = random_layers(rng, graph, len(probe.ops))
    reference = ReferenceTrainer(
        graph,
        layers,
        "mse" if mse else "cross_entropy",
        seed=seed,
        lr=lr,
        exact=exact,
        wide=wide,
        bits=bits,
        rule=rule,
    )
    model = E.Model(image.to_bytes(graph), base_offset=4 * int(rng.integers(4)))
    loss = E.MSE if mse else E.CROSS_ENTROPY
    plan = plan_anywhere(
        rng, model, engine_layers(layers, graph), loss, WIDE[wide], bits, rule.bits
    )
    session = E.Session(plan, seed=seed, lr=lr)
    session.set_optimizer(rule.momentum, rule.weight_decay, rule.accumulate, rule.qas)
    session.c.exact_shifts = exact
    shape = graph.tensors[graph.input].shape
    for _ in range(steps):
        x = rng.integers(-128, 128, shape).astype(np.int8)
        if extreme:
            x = rng.choice(np.array([-128, 127], np.int8), shape)
        output = session.forward(x)
        expected = reference.forward(x)
        np.testing.assert_array_equal(output.astype(np.int64), expected)
        if mse:
            target = rng.integers(-(1 << 18), 1 << 18, len(expected)).astype(np.int32)
            session.mse(target)
        else:
            target = int(rng.integers(len(expected)))
            session.cross_entropy(target)
        session.backward()
        reference.loss(expected, target)
        reference.backward()
        for index in layers:
            trained_bytes(session, index, reference)
        assert list(session.c.rng[:2]) == [reference.rng.x, reference.summed]
        for (index, k), shift in reference.shifts.items():
            kept = session.state[8 + 8 * index + 4 * k : 8 + 8 * index + 4 * k + 3]
            assert list(kept) == [shift.shift, shift.low, int(shift.seen)], (index, k)
    assert session.guards_intact()


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(0, 9))
def test_random_graphs_train_bit_for_bit(seed: int, operators: int) -> None:
    check_steps(seed, operators)


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(0, 6))
def test_extreme_values_train_bit_for_bit(seed: int, operators: int) -> None:
    check_steps(seed, operators, extreme=True)


RULES = st.builds(
    Rule,
    momentum=st.sampled_from([0.0, 0.5, 0.9, 0.999999]) | st.floats(0, 0.5, width=32),
    weight_decay=st.sampled_from([0.0, 1e-4, 2e9]) | st.floats(2.0**-20, 4, width=32),
    accumulate=st.sampled_from([1, 2, 3, 65535]),
    qas=st.booleans(),
    bits=st.sampled_from([8, 16]),
)


@given(
    seed=st.integers(0, 2**32 - 1), operators=st.integers(0, 7), extreme=st.booleans(), rule=RULES
)
def test_every_rule_bit_for_bit(seed: int, operators: int, extreme: bool, rule: Rule) -> None:
    check_steps(seed, operators, 4, extreme, rule)


@pytest.mark.parametrize("seed", range(4))
def test_long_runs_stay_equal(seed: int) -> None:
    check_steps(1000 + seed, 6, steps=40)


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU6])
@pytest.mark.parametrize(
    ("source", "channels", "kernel", "stride"),
    [
        ((4, 4, 12), 24, 1, 1), ((4, 4, 200), 16, 1, 1), ((4, 8, 8), 330, 1, 1),
        ((9, 9, 20), 30, 1, 1), ((4, 4, 7), 10, 1, 1), ((1, 1, 300), 20, 1, 1),
        ((1, 1, 103), 9, 1, 1), ((5, 4, 16), 8, 1, 2), ((6, 7, 6), 8, 3, 1), ((9, 8, 8), 5, 5, 2),
    ],
)  # fmt: skip
def test_blocks_of_a_convolution(
    source: tuple[int, int, int], channels: int, kernel: int, stride: int, activation: Activation
) -> None:
    """Shapes whose blocks are one, several, ragged; pixels that are alike, dense or sparse."""
    for seed in range(6):
        b = Builder(np.random.default_rng(seed), *source)
        t = b.conv(b.depthwise(0, kernel=(1, 1), pad=(0, 0)), source[2])
        pad = (kernel // 2, kernel // 2) if seed % 2 else (0, 0)
        t = b.conv(t, channels, (kernel, kernel), (stride, stride), pad, activation=activation)
        if b.graph.tensors[t].h > 1:
            if seed < 3:  # or all pixels have the same gradient
                t = b.conv(t, 6, (3, 3), (1, 1), (1, 1))
            t = b.mean(t)
        b.linear(t, 5)
        check_steps(seed, 0, 2, graph=b.graph)
