"""MCUNetV3's backbones against activations and gradients of the authors' PyTorch operators."""

from __future__ import annotations

from typing import Any

import engine as E
import numpy as np
import pytest
from numpy.typing import NDArray
from shared import shared

from microtrain import image
from microtrain.graph import Graph, Kind
from microtrain.importers.mcunet import import_mcunet

MODELS = ("mbv2-w0.35", "mcunet-5fps", "proxyless-w0.3")
# The bias gradients of the first convolutions are small differences of large sums, behind 40 to 70
# roundings. With 8 bits: (first convolution that reaches 0.99, least cosine of those before it, as
# measured). With 12 every gradient reaches 0.999.
NOISY = {"mbv2-w0.35": (4, 0.97), "mcunet-5fps": (3, 0.89), "proxyless-w0.3": (7, 0.96)}


def load(name: str) -> tuple[Graph, Any]:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{name}.npz"))
    return graph, np.load(shared(f"data/mcunet/golden/{name}_person128.npz"))


def conv_number(name: str) -> int | None:
    return int(name[5:]) if name.startswith("conv_") else None


def forward_on_golden_inputs(
    session: E.Session, graph: Graph, golden: Any
) -> dict[int, NDArray[np.int64]]:
    """Run every convolution and the classifier on golden inputs and return the differences.

    Leaves golden activations behind.
    """
    session.set_input(golden["input_hwc"])
    differences = {}
    for index in range(session.plan.c.run_count):
        E.LIB.mt_session_forward_op(session.pointer, index)
        number = conv_number(graph.ops[index].name)
        at = session.plan.c.ops[index].out
        if graph.ops[index].name == "pool":  # theirs rounds halves to even
            last = max(n for n in differences)
            expected = np.round(golden[f"conv{last}_out"].mean(axis=(1, 2))).astype(np.int8)
            assert np.abs(session.arena(at, expected.size).astype(np.int64) - expected).max() <= 1
        elif number is not None:
            expected = np.ascontiguousarray(golden[f"conv{number}_out"].transpose(1, 2, 0))
            got = session.arena(at, expected.size).reshape(expected.shape)
            differences[number] = np.abs(got.astype(np.int64) - expected)
        else:
            continue
        E.C.memmove(session.arena_address(at), expected.ctypes.data, expected.size)
    return differences


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_on_its_golden_input(name: str) -> None:
    graph, golden = load(name)
    session = E.Session(E.Plan(E.Model(image.to_bytes(graph))))
    differences = forward_on_golden_inputs(session, graph, golden)
    for number, difference in differences.items():
        assert difference.max() <= 1, number
        assert (difference == 0).mean() >= 0.999, number
    logits = session.output().astype(np.int64)  # the classifier ran on the golden features
    difference = np.abs(logits - golden["logits_int8_1000"])
    assert difference.max() <= 1 and (difference == 0).mean() >= 0.999
    assert session.guards_intact()


def set_head(session: E.Session, head: int, weights: NDArray[Any], bias: NDArray[Any]) -> None:
    """Write a float head into the trained state, quantised by channel."""
    plan, model, state = session.plan.c.ops[head], session.model, session.state
    source = model.tensor(model.c.ops[head].input[0]).scale
    scale = (np.abs(weights).max(axis=1) / 127).astype(np.float32)
    master = np.round(bias / (source * scale) * 256).astype(np.int32)
    quantised = np.round(weights / scale[:, None]).astype(np.int8)
    raw = b"".join(a.tobytes() for a in (scale, master, quantised))
    state[plan.state : plan.state + len(raw)] = np.frombuffer(raw, np.uint8)
    session.refresh()


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_have_the_golden_direction(name: str, bits: int) -> None:
    """All biases and the last 24 convolutions' weights, exact shifts, below additions too."""
    graph, golden = load(name)
    convs = [i for i, op in enumerate(graph.ops) if conv_number(op.name) is not None]
    head = len(graph.ops) - 1
    layers = {i: E.Layer(True, E.ALL if k >= len(convs) - 24 else 0) for k, i in enumerate(convs)}
    layers[head] = E.Layer(True, E.ALL)
    model = E.Model(image.to_bytes(graph))
    session = E.Session(E.Plan(model, layers, E.CROSS_ENTROPY, 10, gradient_bits=bits))
    session.c.exact_shifts = True
    set_head(session, head, golden["head_w"], golden["head_b"])
    forward_on_golden_inputs(session, graph, golden)
    gradients: dict[tuple[int, int], dict[int, Any]] = {}

    def note(op: int, kind: int, channel: int, g: NDArray[np.int32], exponent: int) -> None:
        gradients.setdefault((op, kind), {})[channel] = g * 2.0**exponent

    session.on_gradient(note)
    loss = session.cross_entropy(int(golden["label"])) / 65536
    assert loss == pytest.approx(float(golden["loss"]), rel=0.02)
    session.backward()
    report = {}
    for number, index in enumerate(convs):
        op = graph.ops[index]
        # the golden gradients are with respect to the integer weights and biases
        unit = graph.tensors[op.inputs[0]].scale * op.weight_scale.astype(np.float64)
        rows = range(len(unit))
        bias = np.array([gradients[index, 1][c][0] for c in rows]) * unit
        report[f"bias {number}"] = cosine(bias, golden[f"conv{number}_gb"])
        if (index, 0) in gradients:
            weights = np.stack([gradients[index, 0][c] for c in rows]) * unit[:, None]
            depthwise = op.kind is Kind.DEPTHWISE_CONV2D
            shaped = weights.reshape(len(unit), *op.kernel, -1).transpose(0, 3, 1, 2)
            assert depthwise == (shaped.shape[1] == 1 and op.kernel != (1, 1))
            report[f"weights {number}"] = cosine(shaped, golden[f"conv{number}_gw"])
    assert len(report) == len(convs) + 24
    first_exact, least = NOISY[name] if bits == 8 else (0, 1.0)
    good = 0.99 if bits == 8 else 0.999
    for what, value in report.items():
        bound = least if int(what.split()[1]) < first_exact else good
        assert value >= bound, (what, value)
