"""The same seed gives the same bytes in the library, on virtual boards of 64 and 32 bits, and on
an emulated RP2040."""

from __future__ import annotations

import hashlib
from pathlib import Path

import engine as E
import numpy as np
import pytest
from graphs import Builder

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.link import Device, VirtualBoard, open_device
from microtrain.link.virtual import firmware_path

STEPS = 400
SEED, LR = 11, 0.02
LAYERS = {0: (True, 0), 1: (True, 5), 2: (False, 8), 4: (True, 3), 6: (True, 8)}

ON_THE_BOARD = """
import hashlib, _microtrain
net = _microtrain.Model(open("net.mtm", "rb").read())
plan = _microtrain.Plan(net, {layers}, _microtrain.CROSS_ENTROPY)
session = _microtrain.Session(plan, {seed})
session.lr({lr})
samples = open("samples.bin", "rb").read()
size = len(samples) // {steps}
for i in range({steps}):
    session.step(samples[i * size : (i + 1) * size], i % 5)
print(plan.info()["total_ram_bytes"], hashlib.sha256(session.state()).digest().hex())
"""


def network() -> bytes:
    b = Builder(np.random.default_rng(3), 8, 6, 5, dead_channels=False)
    t = b.conv(0, 8, (3, 3), (1, 1), (1, 1), Activation.RELU6)
    skip = t
    t = b.depthwise(t, activation=Activation.RANGE)
    t = b.conv(t, 8)
    t = b.add(skip, t)
    t = b.conv(t, 8, (2, 3), (2, 1), (0, 1), Activation.RELU)
    t = b.mean(t)
    b.linear(t, 5)
    return image.to_bytes(b.graph)


def samples() -> np.ndarray:
    return np.random.default_rng(4).integers(-128, 128, (STEPS, 8, 6, 5)).astype(np.int8)


def on_this_machine() -> tuple[int, str]:
    layers = {i: E.Layer(bias, channels) for i, (bias, channels) in LAYERS.items()}
    plan = E.Plan(E.Model(network()), layers, E.CROSS_ENTROPY)
    session = E.Session(plan, seed=SEED, lr=LR)
    for i, x in enumerate(samples()):
        session.step(x, i % 5)
    return plan.info.total_bytes, hashlib.sha256(session.state.tobytes()).hexdigest()


def on_the_board(device: Device) -> tuple[int, str]:
    layers = [(i, bias, channels) for i, (bias, channels) in LAYERS.items()]
    device.write("net.mtm", network())
    device.write("samples.bin", samples().tobytes())
    code = ON_THE_BOARD.format(layers=layers, seed=SEED, lr=LR, steps=STEPS)
    ram, digest = device.exec(code, timeout=240).split()
    return int(ram), digest


@pytest.mark.parametrize("bits", [64, 32])
def test_a_board_trains_to_the_same_bytes(bits: int, tmp_path: Path) -> None:
    with (
        VirtualBoard(tmp_path, heap=8 << 20, firmware=firmware_path(bits)) as board,
        Device(board.port) as device,
    ):
        assert on_the_board(device) == on_this_machine()


def test_an_emulated_rp2040_trains_to_the_same_bytes() -> None:
    """The firmware for the chip: Cortex-M0+ code, the chip's soft-float calls, real heap."""
    with open_device("emu:rp2040") as device:
        assert on_the_board(device) == on_this_machine()
