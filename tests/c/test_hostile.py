"""Bad input: a clear refusal or a safe result, never a crash (run under sanitizers too)."""

from __future__ import annotations

import hashlib
import struct

import engine as E
import numpy as np
import pytest
from graphs import Builder, random_graph
from hypothesis import given
from hypothesis import strategies as st
from reference.training import ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image
from microtrain.fixed_point import Activation


def small_image(seed: int = 1) -> bytes:
    """With an odd seed large enough for operators that run row by row."""
    graph = random_graph(np.random.default_rng(seed), 5, largest=24 if seed % 2 else 8)
    return image.to_bytes(graph)


def rehashed(data: bytearray) -> bytes:
    data[16:48] = hashlib.sha256(data[48:]).digest()
    return bytes(data)


def code_of(data: bytes, check_hash: bool = True) -> int:
    try:
        E.Model(data, check_hash)
    except E.EngineError as error:
        return error.code
    return 0


def use(data: bytes) -> None:
    """Open, plan, and where that works train a step: nothing may crash."""
    try:
        model = E.Model(data)
        for stream in (E.STREAM_NONE, E.STREAM_INPUT):
            layers = {model.op_count - 1: E.Layer(True, E.ALL)}
            plan = E.Plan(model, layers, E.CROSS_ENTROPY, stream=stream)
            if plan.info.total_bytes > 1 << 26:
                return
            session = E.Session(plan, lr=0.1)
            session.step(np.zeros(session.input_shape, np.int8), 0)
            assert session.guards_intact()
    except E.EngineError as error:
        assert -14 <= error.code < 0


@pytest.mark.parametrize("length", [0, 1, 47, 95, 96, 200])
def test_truncated(length: int) -> None:
    assert code_of(small_image()[:length]) == -3


def test_every_truncation() -> None:
    data = small_image()
    for length in range(0, len(data), 7):
        assert code_of(data[:length]) < 0


def test_wrong_magic_and_version() -> None:
    data = bytearray(small_image())
    data[0] ^= 1
    assert code_of(bytes(data)) == -1
    data[0] ^= 1
    struct.pack_into("<H", data, 4, 2)
    assert code_of(bytes(data)) == -2


def test_every_flipped_byte_is_noticed() -> None:
    data = small_image()
    for at in range(48, len(data), 5):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        assert code_of(bytes(flipped)) == -4, at


@given(
    seed=st.integers(0, 50),
    at=st.integers(48, 4000),
    value=st.integers(0, 255),
    length=st.sampled_from([1, 2, 4]),
)
def test_damage_behind_a_valid_hash(seed: int, at: int, value: int, length: int) -> None:
    """What a hostile writer would make: every field wrong in turn, the hash right."""
    data = bytearray(small_image(seed))
    at = 48 + (at - 48) % (len(data) - 48 - length)
    data[at : at + length] = bytes([value] * length)
    use(rehashed(data))


@given(
    seed=st.integers(0, 50),
    op=st.integers(0, 9),
    field=st.integers(0, 31),
    value=st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 96, 16]),
)
def test_extreme_fields(seed: int, op: int, field: int, value: int) -> None:
    data = bytearray(small_image(seed))
    count, table = struct.unpack_from("<I", data, 52)[0], struct.unpack_from("<I", data, 60)[0]
    place = (48 + 4 * (field % 7)) if field >= 24 else table + 96 * (op % count) + 4 * field
    struct.pack_into("<I", data, place, value)
    use(rehashed(data))


@given(
    seed=st.integers(0, 50),
    op=st.integers(0, 9),
    field=st.integers(2, 13),
    value=st.sampled_from([0, 1, 2, 3, 255, 256, 4095, 0x7FFF, 0xFFFF]),
)
def test_extreme_short_fields(seed: int, op: int, field: int, value: int) -> None:
    """Kernels, strides, pads and multipliers, one at a time."""
    data = bytearray(small_image(seed))
    count, table = struct.unpack_from("<I", data, 52)[0], struct.unpack_from("<I", data, 60)[0]
    struct.pack_into("<H", data, table + 96 * (op % count) + 2 * field, value)
    use(rehashed(data))


@given(
    seed=st.integers(0, 50),
    tensor=st.integers(0, 9),
    field=st.integers(0, 7),
    value=st.sampled_from([0, 1, 2, 3, 255, 4095, 0x7FFF, 0xFFFF]),
)
def test_extreme_shapes(seed: int, tensor: int, field: int, value: int) -> None:
    data = bytearray(small_image(seed))
    count, table = struct.unpack_from("<I", data, 48)[0], struct.unpack_from("<I", data, 56)[0]
    struct.pack_into("<H", data, table + 16 * (tensor % count) + 2 * field, value)
    use(rehashed(data))


def test_a_linear_operator_ignores_its_kernel() -> None:
    """Its weights are out x in whatever the kernel says: 0 must not shrink the check."""
    b = Builder(np.random.default_rng(3), 1, 1, 40)
    b.linear(0, 30)
    data = bytearray(image.to_bytes(b.graph))
    table = struct.unpack_from("<I", data, 60)[0]
    struct.pack_into("<HH", data, table + 10, 0, 0)
    end = len(data) // 16 * 16
    struct.pack_into("<I", data, table + 32, end)
    assert code_of(rehashed(data)) == -6


def test_operators_without_a_window_ignore_their_kernel() -> None:
    """Found by tests/fuzz: its area left 32 bits."""
    b = Builder(np.random.default_rng(3), 2, 2, 4)
    b.linear(b.mean(b.pad(0, (1, 1, 1, 1))), 3)
    data = bytearray(image.to_bytes(b.graph))
    table = struct.unpack_from("<I", data, 60)[0]
    for op in range(3):
        struct.pack_into("<HHHH", data, table + 96 * op + 10, 65535, 65534, 0, 65535)
    model = E.Model(rehashed(data))
    session = E.Session(E.Plan(model, {2: E.Layer(True, E.ALL)}, E.CROSS_ENTROPY), lr=0.1)
    whole = E.Model(image.to_bytes(b.graph))
    other = E.Session(E.Plan(whole, {2: E.Layer(True, E.ALL)}, E.CROSS_ENTROPY), lr=0.1)
    x = np.arange(16, dtype=np.int8).reshape(2, 2, 4)
    assert session.step(x, 1) == other.step(x, 1)
    assert session.state.tobytes() == other.state.tobytes()


def test_misaligned_image_is_refused() -> None:
    with pytest.raises(E.EngineError) as caught:
        E.Model(small_image(), base_offset=2)
    assert caught.value.code == -5


def tiny() -> E.Plan:
    b = Builder(np.random.default_rng(3), 3, 3, 4)
    t = b.conv(0, 6, (3, 3), activation=Activation.RELU)
    b.linear(t, 4)
    layers = {0: E.Layer(True, E.ALL), 1: E.Layer(True, E.ALL)}
    return E.Plan(E.Model(image.to_bytes(b.graph)), layers, E.CROSS_ENTROPY)


def test_label_out_of_range() -> None:
    session = E.Session(tiny())
    session.forward(np.zeros((3, 3, 4), np.int8))
    with pytest.raises(E.EngineError) as caught:
        session.cross_entropy(4)
    assert caught.value.code == -10


def test_wrong_loss() -> None:
    session = E.Session(tiny())
    session.forward(np.zeros((3, 3, 4), np.int8))
    with pytest.raises(E.EngineError) as caught:
        session.mse(np.zeros(4, np.int32))
    assert caught.value.code == -12


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -1.0, 2.0**31])
def test_impossible_learning_rates(lr: float) -> None:
    with pytest.raises(E.EngineError) as caught:
        E.Session(tiny(), lr=lr)
    assert caught.value.code == -14


@pytest.mark.parametrize("lr", [0.0, 1e-38, 1e-20, 1.0, 1000.0, 2.0**30])
def test_absurd_learning_rates_stay_finite(lr: float) -> None:
    rng = np.random.default_rng(0)
    session = E.Session(tiny(), lr=lr)
    for step in range(100):
        loss = session.step(rng.integers(-128, 128, (3, 3, 4)).astype(np.int8), step % 4)
        assert 0 <= loss < 2**32
    assert session.guards_intact()


@given(seed=st.integers(0, 2**32 - 1))
def test_any_state_is_safe(seed: int) -> None:
    """A state may come from a damaged file: after refresh() every step is defined."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 5)
    layers = random_layers(rng, graph, len(ReferenceTrainer(graph, {}).ops))
    plan = E.Plan(E.Model(image.to_bytes(graph)), engine_layers(layers, graph), E.CROSS_ENTROPY)
    session = E.Session(plan, lr=0.5)
    session.state[:] = rng.integers(0, 256, session.state.size, dtype=np.uint8)
    session.refresh()
    for _ in range(3):
        session.step(rng.integers(-128, 128, session.input_shape).astype(np.int8), 0)
    assert session.guards_intact()
