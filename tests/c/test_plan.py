"""The planner: exact bytes, tight arenas, and nothing touched outside them."""

from __future__ import annotations

import json
from typing import Any

import engine as E
import numpy as np
import pytest
from canaries import high_water
from graphs import Builder, random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.training import ReferenceTrainer
from schemes import PUBLISHED, engine_layers, layers_of, random_layers
from shared import shared

from microtrain import image
from microtrain.importers.mcunet import import_mcunet
from microtrain.scheme import load_scheme

CASES = [(model, name) for model, names in PUBLISHED.items() for name in names]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_published_schemes(model: str, name: str) -> None:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    path = shared("data/mcunet/sparse_update_configs.json")
    layers = layers_of(graph, load_scheme(f"{path}#{model}/{name}", graph))
    plan = E.Plan(E.Model(image.to_bytes(graph)), layers, E.CROSS_ENTROPY, 10)
    info = plan.info
    assert info.arena_lower_bound <= info.arena_bytes <= 1.05 * info.arena_lower_bound
    assert (
        info.total_bytes
        == info.table_bytes + info.state_bytes + info.derived_bytes + info.arena_bytes
    )
    published = json.loads(path.read_text())[model][name]
    convs = [i for i, op in enumerate(graph.ops) if op.name.startswith("conv_")]
    biases = sorted(i for i in layers if i in convs)
    assert len(biases) == published["n_bias_update"]
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    session = E.Session(plan, seed=3, lr=0.01)
    water = high_water(session, lambda s: s.step(x, 3))
    assert info.total_bytes - E.UNTOUCHED < water <= info.total_bytes


def test_an_arena_in_pieces_gives_the_same_bytes() -> None:
    """110 KB is the largest free block of an ESP32. No piece is touched beyond its plan."""
    graph = import_mcunet(shared("data/mcunet/models_npz/proxyless-w0.3.npz"))
    path = shared("data/mcunet/sparse_update_configs.json")
    layers = layers_of(graph, load_scheme(f"{path}#proxyless-w0.3/49kb", graph))
    model = E.Model(image.to_bytes(graph))
    pieces = (112_640, 112_640)
    plans = [E.Plan(model, layers, E.CROSS_ENTROPY, 10, regions=r) for r in ((), pieces)]
    used = [region.bytes for region in plans[1].c.regions]
    assert plans[0].info.arena_bytes > max(pieces) > max(used)
    assert sum(used) == plans[1].info.arena_bytes
    rng = np.random.default_rng(0)
    states = []
    for plan in plans:
        session = E.Session(plan, seed=3, lr=0.01)
        for label in range(2):
            session.step(rng.integers(-128, 128, (128, 128, 3)).astype(np.int8), label)
        assert session.guards_intact()
        states.append(session.state.copy())
        rng = np.random.default_rng(0)
    np.testing.assert_array_equal(*states)
    with pytest.raises(E.EngineError) as caught:
        E.Plan(model, layers, E.CROSS_ENTROPY, 10, regions=(90_000, 90_000))
    assert (caught.value.code, caught.value.have) == (-9, 180_000)


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(1, 10))
def test_a_step_stays_inside_its_plan(seed: int, operators: int) -> None:
    """The arena is used whole, and not a byte beyond it."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, operators)
    layers = random_layers(rng, graph, len(ReferenceTrainer(graph, {}).ops))
    plan = E.Plan(E.Model(image.to_bytes(graph)), engine_layers(layers, graph), E.CROSS_ENTROPY)
    x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    # tiny buffers: what alignment to 8 bytes costs dominates
    assert (
        plan.info.arena_lower_bound
        <= plan.info.arena_bytes
        <= 1.25 * plan.info.arena_lower_bound + 128
    )
    session = E.Session(plan, seed=3, lr=0.01)
    assert high_water(session, lambda s: s.step(x, 0)) <= plan.info.total_bytes


def test_too_little_memory_is_refused_with_the_numbers() -> None:
    graph = random_graph(np.random.default_rng(5), 4)
    plan = E.Plan(
        E.Model(image.to_bytes(graph)), {len(graph.ops) - 1: E.Layer(True, E.ALL)}, E.CROSS_ENTROPY
    )
    with pytest.raises(E.EngineError) as caught:
        E.Session(plan, short=1)
    assert (caught.value.code, caught.value.need, caught.value.have) == (
        -9,
        plan.info.total_bytes,
        plan.info.total_bytes - 1,
    )
    with pytest.raises(E.EngineError) as caught:
        E.Plan(E.Model(image.to_bytes(graph)), {}, work_short=1)
    assert caught.value.code == -9


@pytest.mark.parametrize(
    ("layers", "loss", "classes", "code"),
    [
        ({0: E.Layer(True, 99)}, E.CROSS_ENTROPY, 0, -8),
        ({0: E.Layer(False, [3, 1])}, E.CROSS_ENTROPY, 0, -8),
        ({0: E.Layer(False, [1, 1])}, E.CROSS_ENTROPY, 0, -8),
        ({1: E.Layer(True, 0)}, E.CROSS_ENTROPY, 0, -8),
        ({0: E.Layer(True, 0)}, 0, 0, -8),
        ({}, E.CROSS_ENTROPY, 4, -8),
        ({}, 0, 4, -13),
    ],
)
def test_schemes_that_do_not_fit(layers: Any, loss: int, classes: int, code: int) -> None:
    b = Builder(np.random.default_rng(1), 4, 4, 5)
    t = b.conv(0, 6)
    t = b.mean(t)
    b.linear(t, 3)
    with pytest.raises(E.EngineError) as caught:
        E.Plan(E.Model(image.to_bytes(b.graph)), layers, loss, classes)
    assert caught.value.code == code
