"""Momentum, weight decay and accumulation: their arithmetic at every extreme, and torch's SGD."""

from __future__ import annotations

import ctypes as C

import engine as E
import numpy as np
import pytest
from graphs import Builder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.optimizer import Row, add_decay, add_to_velocity
from reference.rounding import Rng

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
GRADIENTS = st.lists(INT32 | st.integers(-3, 3) | st.just(0), min_size=1, max_size=5)
POINTER = C.c_void_p
E.LIB.mt_add_to_velocity.argtypes = [
    POINTER, POINTER, POINTER, C.c_uint32, POINTER, C.c_int32, POINTER
]  # fmt: skip
E.LIB.mt_add_to_velocity.restype = None
E.LIB.mt_add_decay.argtypes = [
    POINTER, C.c_double, POINTER, POINTER, C.c_int32, POINTER
]  # fmt: skip
E.LIB.mt_add_decay.restype = None


def bare_session(rng: Rng, summed: int = 0, momentum: int = 0, accumulate: int = 1) -> E.CSession:
    """As much of a session as the two functions look at."""
    session = E.CSession(momentum=momentum, accumulate=accumulate)
    session.rng = (C.c_uint32 * 2)(rng.x, summed)
    return session


@given(
    g=GRADIENTS, exponent=st.integers(-16400, 16400) | st.integers(-140, 140), data=st.data(),
    seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 16]),
    momentum=st.integers(0, 32767), summed=st.sampled_from([0, 1, 6, 7, 2**32 - 1]),
)  # fmt: skip
def test_velocity_of_any_content(
    g: list[int], exponent: int, data: st.DataObject, seed: int, bits: int, momentum: int,
    summed: int,
) -> None:  # fmt: skip
    half = 1 << (bits - 1)
    row = Row(
        data.draw(st.lists(st.integers(-half, half - 1), min_size=len(g), max_size=len(g))),
        data.draw(st.integers(-128, 127)),
    )
    rng = Rng(seed)
    session = bare_session(rng, summed, momentum, 8)
    velocity = np.array(row.mantissas, np.int8 if bits == 8 else np.int16)
    gradient, e = np.array(g, np.int32), C.c_int(exponent)
    kept = C.c_int8(row.exponent)
    E.LIB.mt_add_to_velocity(
        C.byref(session), velocity.ctypes.data, C.byref(kept), bits // 8, gradient.ctypes.data,
        len(g), C.byref(e),
    )  # fmt: skip
    add_to_velocity(rng, row, 1 << 15 if summed else momentum, g, exponent, bits)
    assert velocity.tolist() == gradient.tolist() == row.mantissas
    assert kept.value == e.value == row.exponent and session.rng[0] == rng.x


@given(
    g=GRADIENTS, exponent=st.integers(-16400, 16400) | st.integers(-140, 140),
    seed=st.integers(0, 2**32 - 1), power=st.integers(-300, 300), bias=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_decay_of_any_content(
    g: list[int], exponent: int, seed: int, power: int, bias: bool, data: st.DataObject
) -> None:
    rng = Rng(seed)
    session = bare_session(rng)
    factor = 1.37 * 2.0**power
    if bias:
        g = g[:1]
    most = 1 << 30 if bias else 127 * 256 + 127
    values = data.draw(st.lists(st.integers(-most, most), min_size=len(g), max_size=len(g)))
    gradient, e = np.array(g, np.int32), C.c_int(exponent)
    whole = (np.array(values) + 128) >> 8
    weights, fraction = whole.astype(np.int8), (np.array(values) - whole * 256).astype(np.int8)
    master = C.c_int32(values[0])
    row = (POINTER * 3)(weights.ctypes.data, fraction.ctypes.data, None)
    if bias:
        row = (POINTER * 3)(None, None, C.addressof(master))
    E.LIB.mt_add_decay(
        C.byref(session), factor, row, gradient.ctypes.data, len(g), C.byref(e)
    )
    expected = add_decay(rng, factor, values, 30 if bias else 15, g, exponent)
    assert (gradient.tolist(), e.value) == expected
    assert session.rng[0] == rng.x


def network(seed: int = 4) -> Graph:
    b = Builder(np.random.default_rng(seed), 6, 6, 3, dead_channels=False)
    t = b.conv(0, 8, (3, 3), (1, 1), (1, 1), Activation.RELU)
    t = b.depthwise(t, activation=Activation.RELU)
    t = b.pool(t, Kind.AVERAGE_POOL, (2, 2), (2, 2))
    t = b.conv(t, 8, activation=Activation.RELU)
    t = b.mean(t)
    b.linear(t, 5)
    for op in b.graph.ops:
        if op.weights is not None:  # room to move in
            op.weights = op.weights.clip(-90, 90)
    head = b.graph.ops[-1]
    head.weights, head.weight_scale = head.weights // 32, head.weight_scale * np.float32(16)
    return b.graph


LAYERS = {i: E.Layer(True, E.ALL) for i in (0, 1, 3, 5)}


def make_session(
    momentum_bits: int, loss: int = E.CROSS_ENTROPY, layers: dict[int, E.Layer] = LAYERS,
    **options: object,
) -> E.Session:  # fmt: skip
    model = E.Model(image.to_bytes(network()))
    plan = E.Plan(
        model, layers, loss, wide=E.WIDE_ALL, gradient_bits=12, momentum_bits=momentum_bits
    )
    session = E.Session(plan, seed=7, lr=0.01)
    session.set_optimizer(**options)  # type: ignore[arg-type]
    return session


def parameters(session: E.Session) -> dict[tuple[int, int], NDArray[np.float64]]:
    """(operator, 0 weights or 1 biases) -> quantised values with their fractions, row by row."""
    found = {}
    graph = network()
    for index in LAYERS:
        if not session.plan.c.ops[index].channels:
            continue
        op, at = graph.ops[index], session.plan.c.ops[index].state
        rows, size = len(op.weight_scale), op.weights.size
        at += 4 * rows if index == 5 else 0
        found[index, 1] = session.state[at : at + 4 * rows].view(np.int32) / 256
        at += 4 * rows
        weights, fraction = (
            session.state[start : start + size].view(np.int8).astype(float)
            for start in (at, at + (size + 3) // 4 * 4)
        )
        values = weights + fraction / 256
        shape = (size // rows, rows) if op.kind is Kind.DEPTHWISE_CONV2D else (rows, size // rows)
        values = values.reshape(shape)
        found[index, 0] = values.T if op.kind is Kind.DEPTHWISE_CONV2D else values
    return found


class TorchSgd:
    """torch.optim.SGD on real parameters, fed with the engine's own gradients.

    Without qas the parameters are the quantised ones, except the last operator's.
    """

    def __init__(
        self, session: E.Session, momentum: float, weight_decay: float, accumulate: int, qas: bool
    ) -> None:
        self.rule = momentum, weight_decay, accumulate
        graph = network()
        self.unit, self.gradient_unit = {}, {}
        start = parameters(session)
        for index in {index for index, _ in start}:
            op = graph.ops[index]
            source = float(np.float32(graph.tensors[op.inputs[0]].scale))
            scale = op.weight_scale.astype(float)
            units = {0: scale[:, None], 1: source * scale}
            for kind, unit in units.items():
                real = qas or index == 5
                self.unit[index, kind] = unit if real else np.ones_like(unit)
                factor = source if kind == 0 else 1.0
                self.gradient_unit[index, kind] = factor if real else factor * unit
        self.start = {key: value * self.unit[key] for key, value in start.items()}
        self.values = dict(self.start)
        self.velocity = {key: np.zeros_like(value) for key, value in start.items()}
        self.sums = {key: np.zeros_like(value) for key, value in start.items()}
        self.count = 0
        session.on_gradient(self._take)

    def _take(self, op: int, kind: int, row: int, g: NDArray[np.int32], exponent: int) -> None:
        real = g * 2.0**exponent
        self.sums[op, kind][row] += real if kind == 0 else real[0]

    def step(self, lr: float) -> None:
        momentum, weight_decay, accumulate = self.rule
        self.count += 1
        if self.count % accumulate:
            return
        for key, total in self.sums.items():
            g = total * self.gradient_unit[key] / accumulate + weight_decay * self.values[key]
            self.velocity[key] = momentum * self.velocity[key] + g
            self.values[key] = self.values[key] - lr * self.velocity[key]
            total[:] = 0

    def compare(self, session: E.Session) -> dict[tuple[int, int], tuple[float, float]]:
        """How far the engine's parameters are off and how far they have gone, rms, in units."""
        found = {}
        for key, got in parameters(session).items():
            unit = self.unit[key]
            off = got * unit - self.values[key]
            gone = self.values[key] - self.start[key]
            off, gone = (float(np.sqrt(np.mean((x / unit) ** 2))) for x in (off, gone))
            found[key] = off, gone
        return found


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "accumulate", "qas", "bits", "lr"),
    [
        (0.0, 0.0, 1, True, 0, 0.001),
        (0.9, 0.0, 1, True, 16, 0.0002),
        (0.9, 0.0, 1, True, 8, 0.0002),
        (0.0, 0.5, 1, True, 0, 0.001),
        (0.0, 0.0, 8, True, 16, 0.005),
        (0.0, 0.0, 8, True, 8, 0.005),
        (0.9, 0.1, 4, True, 16, 0.001),
        (0.9, 0.1, 4, True, 8, 0.001),
        (0.0, 0.0, 1, False, 0, 4000.0),
        (0.9, 1e-7, 4, False, 16, 1000.0),
    ],
)
def test_it_is_the_sgd_of_torch(
    momentum: float, weight_decay: float, accumulate: int, qas: bool, bits: int, lr: float
) -> None:
    """Over 200 samples the parameters go where real-valued SGD takes them."""
    rule = {
        "momentum": momentum, "weight_decay": weight_decay, "accumulate": accumulate, "qas": qas,
    }  # fmt: skip
    layers = LAYERS if qas else {0: LAYERS[0], 1: LAYERS[1], 3: LAYERS[3]}  # at such a rate
    session = make_session(bits, layers=layers, **rule)
    session.set_lr(lr)
    sgd = TorchSgd(session, **rule)
    rng = np.random.default_rng(3)
    for _ in range(200):
        x = rng.integers(-128, 128, session.input_shape).astype(np.int8)
        session.step(x, int(rng.integers(5)))
        sgd.step(lr)
    found = sgd.compare(session)
    part = 0.03 if bits == 8 else 0.002  # measured: 0.012, 0.0003
    for key, (off, gone) in found.items():
        # The rounding of a parameter's 8 fraction bits, 200 times, is 0.03 units.
        assert off < 0.05 + part * gone, (key, off, gone)


def test_without_a_gradient_momentum_goes_on() -> None:
    """A sample that is already right is a sample all the same, as in torch."""
    ends = []
    for bits, rule in ((0, {}), (16, {"momentum": 0.9}), (0, {"weight_decay": 0.5})):
        session = make_session(bits, E.MSE, **rule)
        x = np.full(session.input_shape, 40, np.int8)
        session.forward(x)
        session.mse(np.full(5, 1 << 16, np.int32))
        session.backward()
        before = parameters(session)[5, 0]
        session.mse(session.forward(x))
        session.backward()
        ends.append(bool((parameters(session)[5, 0] != before).any()))
        assert session.guards_intact()
    assert ends == [False, True, True]


def test_what_velocities_cost() -> None:
    plain, narrow, wide = (make_session(bits).plan.info for bits in (0, 8, 16))
    graph = network()
    rows = sum(len(graph.ops[i].weight_scale) for i in LAYERS)
    weights = sum(graph.ops[i].weights.size for i in LAYERS)
    assert plain.optimizer_bytes == 0
    for info, size in ((narrow, 1), (wide, 2)):
        exact = (weights + rows) * size + 2 * rows  # an exponent for each row and each bias
        assert exact <= info.optimizer_bytes < exact + 4 * 4 * len(LAYERS)
        assert info.state_bytes - plain.state_bytes - info.optimizer_bytes in (-4, 0, 4)
        assert info.total_bytes - plain.total_bytes == info.state_bytes - plain.state_bytes
        assert info.trainable_bytes == plain.trainable_bytes
        assert info.arena_bytes == plain.arena_bytes


@pytest.mark.parametrize(
    ("bits", "rule"),
    [
        (0, {"momentum": 0.5}), (0, {"accumulate": 2}), (8, {"momentum": 1.0}),
        (8, {"momentum": -0.5}), (8, {"accumulate": 0}), (8, {"accumulate": 65536}),
        (8, {"weight_decay": -1.0}), (8, {"weight_decay": 2.0**31}),
        (8, {"momentum": float("nan")}), (8, {"weight_decay": float("nan")}),
    ],
)  # fmt: skip
def test_what_is_refused(bits: int, rule: dict[str, float]) -> None:
    with pytest.raises(E.EngineError) as error:
        make_session(bits, **rule)
    assert error.value.code == -14


def test_momentum_bits_that_there_are_not() -> None:
    with pytest.raises(E.EngineError) as error:
        make_session(12)
    assert (error.value.code, error.value.have) == (-14, 12)


@pytest.mark.parametrize("bits", [(0, 16), (16, 0), (8, 16), (16, 8)])
def test_another_session_takes_over_the_parameters_alone(bits: tuple[int, int]) -> None:
    first, second = (make_session(b) for b in bits)
    if bits[0]:
        first.set_optimizer(momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.integers(-128, 128, first.input_shape).astype(np.int8)
        first.step(x, int(rng.integers(5)))
    second.carry_from(first)
    for key, values in parameters(first).items():
        np.testing.assert_array_equal(parameters(second)[key], values)
    for index in LAYERS:
        plan, graph = second.plan.c.ops[index], network()
        op = graph.ops[index]
        used = 4 * len(op.weight_scale) * (2 if index == 5 else 1)
        used += 2 * ((op.weights.size + 3) // 4 * 4)
        end = plan.state + used + (op.weights.size * bits[1] // 8)
        assert not second.state[plan.state + used : end].any()
    assert second.guards_intact()
