"""Every published scheme, and the last 6 and 12 layers, plans, runs and trains on its backbone."""

from __future__ import annotations

import math

import engine as E
import numpy as np
import pytest
from numpy.typing import NDArray
from schemes import PUBLISHED, layers_of
from shared import shared

from microtrain import image
from microtrain.importers.mcunet import import_mcunet
from microtrain.scheme import load_scheme

STEPS, LEARNING_RATE, LABEL = 4, 2.0**-9, 3
WEIGHTS, BIAS = 0, 1  # kinds of gradient
CASES = [
    (model, name) for model, names in PUBLISHED.items() for name in (*names, "last-6", "last-12")
]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_trains(model: str, name: str) -> None:
    """The loss of a photo falls; every trained tensor gets a gradient that is not 0."""
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    with np.load(shared(f"data/mcunet/golden/{model}_person128.npz")) as golden:
        photo = np.ascontiguousarray(golden["input_hwc"], np.int8)
    configs = shared("data/mcunet/sparse_update_configs.json")
    scheme = load_scheme(f"{configs}#{model}/{name}" if name.endswith("kb") else name, graph)
    plan = E.Plan(
        E.Model(image.to_bytes(graph)), layers_of(graph, scheme), E.CROSS_ENTROPY, new_classes=10
    )
    session = E.Session(plan, seed=3, lr=LEARNING_RATE)
    losses = [session.step(photo, LABEL) / 65536 for _ in range(STEPS - 1)]
    learned: set[tuple[int, int]] = set()

    def collect(op: int, kind: int, channel: int, g: NDArray[np.int32], exponent: int) -> None:
        if g.any():
            learned.add((op, kind))

    session.on_gradient(collect)
    losses.append(session.step(photo, LABEL) / 65536)
    assert losses[0] == pytest.approx(math.log(10), abs=0.01)  # the new head starts at 0
    assert sorted(losses, reverse=True) == losses and losses[-1] < losses[0]
    expected = {(layer.op_index, BIAS) for layer in scheme.layers if layer.bias}
    expected |= {(layer.op_index, WEIGHTS) for layer in scheme.layers if layer.weights}
    assert learned == expected
    session.forward(photo)
    assert session.argmax() == LABEL and session.guards_intact()
