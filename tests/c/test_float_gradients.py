"""Integer gradients against float automatic differentiation of the same dequantised network.

The float network (HIPS autograd) is evaluated at the integer network's activations
(straight-through: values from the integers, derivatives from the float operators), so that only
the rounding of gradients separates the two.
"""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import engine as E
import numpy as np
import pytest
from autograd import grad
from autograd.tracer import getval
from graphs import Builder, random_graph
from reference.training import Layer, ReferenceTrainer

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import WEIGHTED, Graph, Kind, Op


def gather(x: Any, op: Op, out: Any, fill: float) -> Any:
    """Windows [oh, ow, kh, kw, c] of x, differentiable."""
    (kh, kw), (sh, sw), (top, left, *_) = op.kernel, op.stride, op.pads
    h, w, _ = x.shape
    bottom, right = (
        max(0, (out.h - 1) * sh + kh - top - h),
        max(0, (out.w - 1) * sw + kw - left - w),
    )
    padded = anp.pad(
        x, ((top, bottom), (left, right), (0, 0)), mode="constant", constant_values=fill
    )
    rows = (np.arange(out.h) * sh)[:, None] + np.arange(kh)
    columns = (np.arange(out.w) * sw)[:, None] + np.arange(kw)
    return padded[rows[:, None, :, None], columns[None, :, None, :]]


def real_op(graph: Graph, op: Op, inputs: list[Any], weights: Any, bias: Any) -> Any:
    """One operator on real values, without its clamp."""
    out = graph.tensors[op.output]
    x = inputs[0]
    if op.kind is Kind.CONV2D:
        return anp.einsum("abijc,oijc->abo", gather(x, op, out, 0.0), weights) + bias
    if op.kind is Kind.DEPTHWISE_CONV2D:
        seen = anp.repeat(gather(x, op, out, 0.0), op.channel_multiplier, axis=4)
        return anp.sum(seen * weights, axis=(2, 3)) + bias
    if op.kind is Kind.LINEAR:
        return (anp.dot(weights, anp.reshape(x, (-1,))) + bias).reshape((1, 1, -1))
    if op.kind is Kind.ADD:
        return x + inputs[1]
    if op.kind is Kind.AVERAGE_POOL:
        counts = gather(np.ones(x.shape), op, out, 0.0).sum(axis=(2, 3))
        return anp.sum(gather(x, op, out, 0.0), axis=(2, 3)) / counts
    if op.kind is Kind.MAX_POOL:
        seen = gather(x, op, out, -1e9).reshape((out.h, out.w, -1, out.c))
        first = getval(seen).argmax(axis=2)  # autograd would share the gradient among equals
        return anp.sum(seen * (np.arange(seen.shape[2])[:, None] == first[:, :, None, :]), axis=2)
    if op.kind is Kind.MEAN:
        return anp.mean(x, axis=(0, 1)).reshape((1, 1, -1))
    if op.kind is Kind.PAD:
        top, left, bottom, right = op.pads
        return anp.pad(x, ((top, bottom), (left, right), (0, 0)), mode="constant")
    if op.kind is Kind.RESHAPE:
        return anp.reshape(x, out.shape)
    return x


def straight_through(value: Any, derivative_of: Any, passes: Any) -> Any:
    constant = value - getval(derivative_of)
    return anp.where(passes, derivative_of + constant, value)


def float_gradients(reference: ReferenceTrainer, label: int) -> dict[int, tuple[Any, Any]]:
    """d cross-entropy / d (weights, bias) in real units, at the integer activations."""
    graph, ops = reference.graph, reference.ops
    parameters: dict[int, tuple[Any, Any]] = {}
    for index, op in enumerate(ops):
        if op.kind in WEIGHTED:
            scale = op.weight_scale.astype(np.float64)
            axis = (
                (-1,) if op.kind is Kind.DEPTHWISE_CONV2D else (-1,) + (1,) * (op.weights.ndim - 1)
            )
            source = float(np.float32(graph.tensors[op.inputs[0]].scale))
            parameters[index] = (op.weights * scale.reshape(axis), op.bias * source * scale)

    def loss(p: dict[int, tuple[Any, Any]]) -> Any:
        first = graph.tensors[graph.input]
        real = {
            graph.input: (reference.values[graph.input].astype(np.float64) - first.zero_point)
            * first.scale
        }
        for index, op in enumerate(ops):
            y = real_op(graph, op, [real[t] for t in op.inputs], *p.get(index, (None, None)))
            if index == len(ops) - 1:
                z = anp.reshape(y, (-1,))
                z = straight_through(reference.head_logits / 65536.0, z, True)
                return anp.log(anp.sum(anp.exp(z - getval(z).max()))) + getval(z).max() - z[label]
            out = graph.tensors[op.output]
            value = (
                reference.values[op.output].astype(np.float64).reshape(out.shape) - out.zero_point
            ) * out.scale
            passes = reference.mask(index, np.ones(out.shape, np.int64)).astype(bool)
            real[op.output] = straight_through(value, y, passes)
        raise AssertionError

    return grad(loss)(parameters)


def check(graph: Graph, seed: int, least: float) -> int:
    rng = np.random.default_rng(seed)
    layers = {}
    for i, op in enumerate(graph.ops):
        if op.kind in WEIGHTED:
            source = graph.tensors[op.inputs[0]]
            layers[i] = Layer(
                True, list(range(source.size if op.kind is Kind.LINEAR else source.c))
            )
    reference = ReferenceTrainer(graph, layers)
    session = E.Session(
        E.Plan(
            E.Model(image.to_bytes(graph)),
            {i: E.Layer(True, E.ALL) for i in layers},
            E.CROSS_ENTROPY,
        )
    )
    session.c.exact_shifts = True
    x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    logits = session.forward(x)
    label = int(logits.argmin())
    reference.forward(x)
    expected = float_gradients(reference, label)
    got: dict[tuple[int, int], dict[int, Any]] = {}
    session.on_gradient(
        lambda op, kind, c, g, e: got.setdefault((op, kind), {}).__setitem__(c, g * 2.0**e)
    )
    session.cross_entropy(label)
    session.backward()
    compared = 0
    for index in layers:
        op = reference.ops[index]
        for kind in (0, 1):
            if (index, kind) not in got:
                continue
            rows = np.stack([got[index, kind][c] for c in range(len(op.weight_scale))])
            if kind == 0:
                rows = rows * float(np.float32(graph.tensors[op.inputs[0]].scale))
            float_g = np.asarray(expected[index][kind])
            if kind == 0 and op.kind is Kind.DEPTHWISE_CONV2D:
                float_g = float_g.reshape(-1, float_g.shape[-1]).T
            a, b = rows.reshape(-1), float_g.reshape(-1)
            if np.linalg.norm(b) < 1e-9:
                continue
            cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-30)
            assert cosine >= least, (index, op.name, ["weights", "bias"][kind], cosine)
            assert abs(np.log(np.linalg.norm(a) / np.linalg.norm(b))) < 3 * (1 - least) + 0.1, (
                index,
                op.name,
            )
            compared += 1
    return compared


def block(b: Builder, t: int, relu6: Activation) -> int:
    source = t
    t = b.conv(t, 3 * b.graph.tensors[source].c, activation=relu6)
    t = b.depthwise(t, activation=relu6)
    t = b.conv(t, b.graph.tensors[source].c)
    return b.add(source, t)


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6, Activation.RANGE])
@pytest.mark.parametrize("seed", range(5))
def test_residual_network(seed: int, activation: Activation) -> None:
    b = Builder(np.random.default_rng(seed), 8, 7, 3, dead_channels=False)
    t = b.conv(0, 6, (3, 3), (2, 2), (1, 1), activation)
    t = block(b, t, activation)
    t = b.depthwise(t, 2, (5, 3), (1, 1), (2, 1), activation)
    t = b.pool(t, Kind.AVERAGE_POOL if seed % 2 else Kind.MAX_POOL, (2, 2), (1, 1))
    t = block(b, t, activation)
    t = b.mean(t)
    b.linear(t, 7)
    assert check(b.graph, seed, 0.97) == 18


def test_random_networks() -> None:
    compared = 0
    for seed in range(60):
        rng = np.random.default_rng(9000 + seed)
        compared += check(random_graph(rng, int(rng.integers(1, 5))), seed, 0.9)
    assert compared > 150
