"""The engine against the numerics report's golden model: the same bytes after many steps."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import engine as E
import numpy as np
import pytest
from graphs import Builder
from shared import shared

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind, Rounding

POINTWISE, DEPTHWISE, ADD, POOL, HEAD = 1, 2, 3, 4, 5


def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "golden_step", shared("research/numerics/golden_step.py")
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(rng: np.random.Generator) -> Graph:
    """Two inverted residual blocks (one adds, one strides), head 1x1, pool 4x4, classifier."""
    b = Builder(rng, 8, 8, 6, dead_channels=False)  # the golden model does not know them
    relu6 = Activation.RELU6
    t = b.conv(0, 12, activation=relu6)
    t = b.depthwise(t, activation=relu6)
    t = b.conv(t, 6)
    t = b.add(0, t)
    t = b.conv(t, 14, activation=relu6)
    t = b.depthwise(t, stride=(2, 2), activation=relu6)
    t = b.conv(t, 9)
    t = b.conv(t, 20, activation=relu6)
    t = b.pool(t, Kind.AVERAGE_POOL, (4, 4), (1, 1))
    b.linear(t, 5)
    for op in b.graph.ops:
        op.rounding = Rounding.TWICE
    return b.graph


def golden_operators(graph: Graph) -> list[dict[str, Any]]:
    result = []
    kinds = {
        Kind.CONV2D: POINTWISE,
        Kind.DEPTHWISE_CONV2D: DEPTHWISE,
        Kind.ADD: ADD,
        Kind.AVERAGE_POOL: POOL,
        Kind.LINEAR: HEAD,
    }
    for op in graph.ops:
        source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
        other = graph.tensors[op.inputs[-1]]
        weights = None
        if op.weights is not None:
            weights = op.weights
            if op.kind is Kind.DEPTHWISE_CONV2D:
                weights = weights.reshape(9, -1).T
        result.append(
            dict(
                t=kinds[op.kind], i=op.inputs[0], i2=op.inputs[-1],
                H=source.h, Ho=out.h, Ci=source.c, Co=out.c,
                st=op.stride[0], sx=source.scale, zx=source.zero_point,
                sx2=other.scale, zx2=other.zero_point,
                sy=out.scale, zy=out.zero_point, act=op.activation is Activation.RELU6, w=weights,
                wq=weights, bq=op.bias,
                sw=None if op.weight_scale is None else op.weight_scale.copy(),
            )
        )  # fmt: skip
    return result


@pytest.mark.parametrize("case", range(10))
def test_equals_the_golden_step(case: int) -> None:
    """Cases 6 to 9 have 8 fraction bits, 6 and 7 of the head alone; the others int8 weights."""
    module = golden()
    rng = np.random.default_rng(case)
    graph = network(rng)
    assert [op.output for op in graph.ops] == list(range(1, len(graph.ops) + 1))
    head = len(graph.ops) - 1
    partial = int(rng.integers(1, 7))
    layers = {
        0: E.Layer(True, E.ALL), 1: E.Layer(True, E.ALL), 2: E.Layer(True, 5),
        4: E.Layer(True, partial - 1 or 1), 5: E.Layer(True, E.ALL), 6: E.Layer(True, E.ALL),
        7: E.Layer(True, 0), head: E.Layer(True, E.ALL),
    }  # fmt: skip
    bottom = [0, 4, 2, 1, 6, 0, head, head, 0, 2][case]
    wide = case >= 6
    layers = {i: layer for i, layer in layers.items() if i >= bottom}
    widths = [E.WIDE_NONE] * 6 + [E.WIDE_HEAD] * 2 + [E.WIDE_ALL] * 2
    config = {}
    for i, layer in layers.items():
        count = 0 if isinstance(layer.channels, int) and layer.channels == 0 else layer.channels
        source = graph.tensors[graph.ops[i].inputs[0]]
        config[i] = (int(count != 0), 1, 0, source.c if count == E.ALL else count)
    seed, lr_exponent = 7 + case, -4 - case % 3
    net = module.GNet(golden_operators(graph), config, 0, rule=7, FB=8 * wide, SR=True, seed=seed)
    plan = E.Plan(E.Model(image.to_bytes(graph)), layers, E.CROSS_ENTROPY, wide=widths[case])
    session = E.Session(plan, seed=seed, lr=2.0**lr_exponent)
    for _ in range(60):
        x = rng.integers(-128, 128, (8, 8, 6)).astype(np.int8)
        label = int(rng.integers(5))
        logits, _ = net.forward(x.reshape(-1))
        np.testing.assert_array_equal(session.forward(x), logits)
        session.cross_entropy(label)
        session.backward()
        net.step(x.reshape(-1), label, lr_exponent)
    assert session.c.rng[0] == net.x
    moved = 0
    for i in layers:
        model, at = net.L[i], plan.c.ops[i].state
        rows = len(graph.ops[i].weight_scale)
        if i == head:
            np.testing.assert_array_equal(
                session.state[at : at + 4 * rows].view(np.float32), model.sw
            )
            at += 4 * rows
        np.testing.assert_array_equal(session.state[at : at + 4 * rows].view(np.int32), model.bm)
        at += 4 * rows
        first, end = config[i][2], config[i][3]
        if not config[i][0]:
            continue
        depthwise = graph.ops[i].kind is Kind.DEPTHWISE_CONV2D
        expected = (model.wq.T if depthwise else model.wq[:, first:end]).reshape(-1)
        got = session.state[at : at + expected.size].view(np.int8)
        np.testing.assert_array_equal(got, expected)
        if wide:
            at += (got.size + 3) // 4 * 4
            fraction = session.state[at : at + got.size].view(np.int8).astype(np.int64)
            master = (model.wm.T if depthwise else model.wm[:, first:end]).reshape(-1)
            np.testing.assert_array_equal(got.astype(np.int64) * 256 + fraction, master)
        moved += int((got != golden_start(graph, i, first, end)).sum())
    assert moved > 20


def golden_start(graph: Graph, i: int, first: int, end: int) -> Any:
    weights = graph.ops[i].weights
    if graph.ops[i].kind is Kind.DEPTHWISE_CONV2D:
        return weights.reshape(-1)
    return weights.reshape(weights.shape[0], -1)[:, first:end].reshape(-1)
