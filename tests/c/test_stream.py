"""Operators that run row by row: the same bytes as whole tensors give, in less memory."""

from __future__ import annotations

from collections import Counter

import engine as E
import numpy as np
import pytest
from canaries import high_water
from graphs import Builder, random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.training import ReferenceTrainer
from schemes import engine_layers, layers_of, random_layers
from shared import shared

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind
from microtrain.importers.mcunet import import_mcunet
from microtrain.scheme import load_scheme

MODES = (E.STREAM_NONE, E.STREAM_OPERATORS, E.STREAM_INPUT)
# What issue and paper ask for: KB in all, where MCUNetV3's figures count training's share alone.
GOALS = {
    ("mcunet-5fps", "49kb"): 134,
    ("mbv2-w0.35", "49kb"): 141,
    ("proxyless-w0.3", "49kb"): 135,
    ("mcunet-5fps", "148kb"): 173,
}


def same_bytes(plans: list[E.Plan], rng: np.random.Generator, classes: int, steps: int) -> None:
    sessions = [E.Session(plan, seed=3, lr=0.01) for plan in plans]
    for _ in range(steps):
        x = rng.integers(-128, 128, sessions[0].input_shape).astype(np.int8)
        label = int(rng.integers(classes))
        outputs = []
        for session in sessions:
            outputs.append(session.forward(x).copy())
            if session.plan.c.loss:
                session.cross_entropy(label)
                session.backward()
            assert session.guards_intact()
        for output in outputs[1:]:
            np.testing.assert_array_equal(output, outputs[0])
    for session in sessions[1:]:
        np.testing.assert_array_equal(session.state, sessions[0].state)


def check(seed: int, operators: int) -> int:
    """Operators that ran row by row."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, operators, largest=24)
    model = E.Model(image.to_bytes(graph))
    count = len(ReferenceTrainer(graph, {}).ops)
    first = int(rng.integers(count))
    layers = {i: v for i, v in random_layers(rng, graph, count).items() if i >= first}
    chosen = engine_layers(layers, graph)
    loss = E.CROSS_ENTROPY if chosen else 0
    plans = [E.Plan(model, chosen, loss, stream=mode) for mode in MODES]
    bounds = [plan.info.arena_lower_bound for plan in plans]
    assert bounds == sorted(bounds, reverse=True)
    assert len({(p.info.forward_macs, p.info.backward_macs) for p in plans}) == 1
    same_bytes(plans, rng, plans[0].info.classes, 2)
    return int(plans[2].c.stream_ops)


@given(seed=st.integers(0, 2**32 - 1), operators=st.integers(1, 12))
def test_random_graphs_give_the_same_bytes(seed: int, operators: int) -> None:
    check(seed, operators)


def test_random_graphs_do_run_row_by_row() -> None:
    depth = Counter(min(check(seed, 6), 3) for seed in range(60))
    assert depth[0] < 40 and depth[3] >= 5, depth


def test_rows_where_windows_skip_overlap_and_hang_over() -> None:
    """Every kind that runs row by row, with a residual across a wide window."""
    b = Builder(np.random.default_rng(4), 150, 9, 3)
    t = b.conv(0, 6, (1, 1), (3, 2), activation=Activation.RELU6)  # skips rows
    t = b.conv(t, 6, (5, 3), (1, 1), (4, 1), activation=Activation.RELU)  # all windows hang over
    start = b.requantize(t, Activation.NONE)
    t = b.depthwise(start, 2, (7, 3), (1, 1), (3, 1))
    t = b.conv(t, 6)
    t = b.add(t, start)
    t = b.pool(t, Kind.MAX_POOL, (3, 2), (2, 1), (1, 0))
    t = b.pool(t, Kind.AVERAGE_POOL, (2, 2), (1, 1), (1, 1))
    t = b.conv(t, 4, (3, 3), (2, 2))
    b.linear(b.mean(t), 5)
    model = E.Model(image.to_bytes(b.graph))
    head = len(b.graph.ops) - 1
    plans = [E.Plan(model, {head: E.Layer(True, E.ALL)}, E.CROSS_ENTROPY, stream=m) for m in MODES]
    assert plans[2].c.stream_ops == head - 1 and plans[2].c.input_rows == 1
    # as many as the depthwise window is high: the residual, three rows behind, needs fewer
    rows = {b.graph.ops[i].kind: plans[2].c.ops[i].rows for i in range(head - 1)}
    assert rows[Kind.REQUANTIZE] == 7
    same_bytes(plans, np.random.default_rng(1), 5, 3)


def backbone(model: str, name: str) -> tuple[Graph, dict[int, E.Layer]]:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    path = shared("data/mcunet/sparse_update_configs.json")
    return graph, layers_of(graph, load_scheme(f"{path}#{model}/{name}", graph))


@pytest.mark.parametrize(("model", "name"), GOALS)
def test_the_byte_goals_at_128(model: str, name: str) -> None:
    graph, layers = backbone(model, name)
    image_bytes = E.Model(image.to_bytes(graph))
    plans = [E.Plan(image_bytes, layers, E.CROSS_ENTROPY, 10, stream=mode) for mode in MODES]
    info = plans[2].info
    assert info.total_bytes <= GOALS[model, name] * 1024
    assert info.arena_bytes <= 1.05 * info.arena_lower_bound
    assert info.forward_macs == plans[0].info.forward_macs
    rng = np.random.default_rng(0)
    same_bytes(plans, rng, 10, 2)
    x = rng.integers(-128, 128, (128, 128, 3)).astype(np.int8)
    water = high_water(E.Session(plans[2], seed=3, lr=0.01), lambda s: s.step(x, 3))
    assert info.total_bytes - E.UNTOUCHED < water <= info.total_bytes


def test_the_arena_in_pieces() -> None:
    graph, layers = backbone("mcunet-5fps", "49kb")
    model = E.Model(image.to_bytes(graph))
    pieces = (32_768, 16_384, 16_384)
    plans = [
        E.Plan(model, layers, E.CROSS_ENTROPY, 10, stream=E.STREAM_INPUT, regions=regions)
        for regions in ((), pieces)
    ]
    assert plans[1].c.stream_ops
    same_bytes(plans, np.random.default_rng(2), 10, 2)
