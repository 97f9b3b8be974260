"""Whole training steps of random graphs: the state equals the numpy reference bit for bit."""

from __future__ import annotations

import engine as E
import numpy as np
import pytest
from graphs import random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.training import ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image

WIDE = {"head": E.WIDE_HEAD, "none": E.WIDE_NONE, "all": E.WIDE_ALL}


def trained_bytes(session: E.Session, index: int, reference: ReferenceTrainer) -> None:
    """Compare the trained tensors of one operator."""
    plan, expected = session.plan.c.ops[index], reference.trained(index)
    state, at = session.state, plan.state
    rows = len(reference.ops[index].weight_scale)
    if plan.flags & 256 and plan.channels:  # a trained head keeps its scales
        scale = state[at : at + 4 * rows].view(np.float32)
        np.testing.assert_array_equal(scale, reference.ops[index].weight_scale)
        at += 4 * rows
    if "master" in expected:
        np.testing.assert_array_equal(state[at : at + 4 * rows].view(np.int32), expected["master"])
        at += 4 * rows
    if "weights" in expected:
        n = len(expected["weights"])
        np.testing.assert_array_equal(state[at : at + n].view(np.int8), expected["weights"])
        at += (n + 3) // 4 * 4
    if "fraction" in expected:
        n = len(expected["fraction"])
        np.testing.assert_array_equal(state[at : at + n].view(np.int8), expected["fraction"])


def plan_anywhere(
    rng: np.random.Generator, model: E.Model, layers: dict[int, E.Layer], loss: int, wide: int,
    bits: int,
) -> E.Plan:  # fmt: skip
    """A plan with its arena in one piece, or, where it fits, in several."""
    plan = E.Plan(model, layers, loss, wide=wide, gradient_bits=bits)
    shares = rng.dirichlet(np.ones(int(rng.integers(1, E.REGIONS + 1))))
    if rng.random() < 0.5:
        regions = [int(share * 1.4 * plan.info.arena_bytes) for share in shares]
        try:
            return E.Plan(model, layers, loss, wide=wide, gradient_bits=bits, regions=regions)
        except E.EngineError as error:
            assert error.code == -9
    return plan


def check_steps(
    seed: int, operators: int, steps: int = 3, extreme: bool = False, qas: bool = True
) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, operators, extreme)
    powers = (-9, 0) if qas else (-5, 31)  # the rate's: up to the largest there is
    lr = (
        float(np.float32(2.0 ** rng.uniform(*powers)))
        if rng.random() < 0.5
        else 2.0 ** int(rng.integers(powers[0], powers[1] + 1 if qas else powers[1]))
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
        qas=qas,
    )
    model = E.Model(image.to_bytes(graph), base_offset=4 * int(rng.integers(4)))
    loss = E.MSE if mse else E.CROSS_ENTROPY
    plan = plan_anywhere(rng, model, engine_layers(layers, graph), loss, WIDE[wide], bits)
    session = E.Session(plan, seed=seed, lr=lr)
    session.set_qas(qas)
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
        assert session.c.rng[0] == reference.rng.x
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


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(0, 9), extreme=st.booleans())
def test_without_scaling_bit_for_bit(seed: int, operators: int, extreme: bool) -> None:
    check_steps(seed, operators, extreme=extreme, qas=False)


@pytest.mark.parametrize("seed", range(4))
def test_long_runs_stay_equal(seed: int) -> None:
    check_steps(1000 + seed, 6, steps=40)
