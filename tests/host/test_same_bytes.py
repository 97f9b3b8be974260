"""The same image, data and seed give the same bytes, trained in the library and on every board in
software: the trained state, and the checkpoint file."""

from __future__ import annotations

import hashlib

import engine as E
import numpy as np
import pytest
from graphs import Builder

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Graph
from microtrain.link import open_device
from microtrain.link.ports import EMULATED, VIRTUAL

STEPS = {port: 400 if port in VIRTUAL else 50 for port in (*VIRTUAL, *EMULATED)}
SEED, LR = 11, 0.02
LAYERS = {0: (True, 0), 1: (True, 5), 2: (False, 8), 4: (True, 3), 6: (True, 8)}

ON_THE_BOARD = """
import hashlib
import microtrain as mt
model = mt.Model("net.mtm")
trainer = mt.Trainer(model, {scheme}, {lr}, seed={seed})
with open("samples.bin", "rb") as file:
    for i in range({steps}):
        trainer.step(file.read({size}), i % 5)
model.save("net.mtc")
print(trainer.total_ram_bytes, hashlib.sha256(trainer.session.state()).digest().hex())
"""


def network() -> Graph:
    b = Builder(np.random.default_rng(3), 8, 6, 5, dead_channels=False)
    t = b.conv(0, 8, (3, 3), (1, 1), (1, 1), Activation.RELU6)
    skip = t
    t = b.depthwise(t, activation=Activation.RANGE)
    t = b.conv(t, 8)
    t = b.add(skip, t)
    t = b.conv(t, 8, (2, 3), (2, 1), (0, 1), Activation.RELU)
    t = b.mean(t)
    b.linear(t, 5)
    return b.graph


def samples(steps: int) -> np.ndarray:
    return np.random.default_rng(4).integers(-128, 128, (steps, 8, 6, 5)).astype(np.int8)


def on_this_machine(steps: int) -> tuple[int, str]:
    """(bytes of RAM, SHA-256 of the trained state)"""
    layers = {i: E.Layer(bias, channels) for i, (bias, channels) in LAYERS.items()}
    plan = E.Plan(E.Model(image.to_bytes(network())), layers, E.CROSS_ENTROPY)
    session = E.Session(plan, seed=SEED, lr=LR)
    for i, x in enumerate(samples(steps)):
        session.step(x, i % 5)
    return plan.info.total_bytes, hashlib.sha256(session.state.tobytes()).hexdigest()


def on_the_board(port: str, steps: int) -> tuple[tuple[int, str], bytes]:
    """((bytes of RAM, SHA-256 of the trained state), checkpoint)"""
    graph, data = network(), samples(steps)
    layers = {
        graph.ops[i].name: {"bias": bias, "weights": channels}
        for i, (bias, channels) in LAYERS.items()
    }
    with open_device(port) as device:
        device.write("net.mtm", image.to_bytes(graph))
        device.write("samples.bin", data.tobytes())
        code = ON_THE_BOARD.format(
            scheme={"layers": layers}, lr=LR, seed=SEED, steps=steps, size=data[0].size
        )
        ram, digest = device.exec(code, timeout=240).split()
        return (int(ram), digest), device.read("net.mtc")


@pytest.mark.parametrize("port", STEPS)
def test_a_board_trains_to_the_same_bytes(port: str) -> None:
    state, checkpoint = on_the_board(port, STEPS[port])
    assert state == on_this_machine(STEPS[port])
    if port != "virtual":
        assert checkpoint == on_the_board("virtual", STEPS[port])[1]
