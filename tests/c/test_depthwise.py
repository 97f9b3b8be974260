"""Depthwise convolution of every shape: output and training equal the numpy reference; and the
library's bytes, which the boards' are compared with."""

from __future__ import annotations

import engine as E
import numpy as np
import pytest
from depthwise_nets import LR, NETS, SEED, Net, layers_of
from reference.training import Layer, ReferenceTrainer

from microtrain import image


@pytest.mark.parametrize("net", NETS, ids=str)
def test_every_shape_bit_for_bit(net: Net) -> None:
    graph = net.graph()
    layers = layers_of(graph)
    reference = ReferenceTrainer(
        graph,
        {i: Layer(True, list(range(graph.tensors[graph.ops[i].inputs[0]].c))) for i in layers},
        seed=SEED, lr=LR,
    )  # fmt: skip
    plan = E.Plan(E.Model(image.to_bytes(graph)), layers, E.CROSS_ENTROPY)
    session = E.Session(plan, seed=SEED, lr=LR)
    for label, x in enumerate(net.samples()):
        output = session.forward(x)
        np.testing.assert_array_equal(output.astype(np.int64), reference.forward(x))
        session.cross_entropy(label)
        session.backward()
        reference.loss(output.astype(np.int64), label)
        reference.backward()
        for index in layers:
            expected, trained = reference.trained(index), session.plan.c.ops[index]
            master = np.asarray(expected["master"], np.int32).tobytes()
            weights = np.asarray(expected["weights"], np.int8).tobytes()
            if trained.flags & 256:  # the head: its scales come first
                scales = np.asarray(reference.ops[index].weight_scale, np.float32)
                master = scales.tobytes() + master
            got = session.state[trained.state :].tobytes()
            assert got.startswith(master + weights), (index, label)
        for (index, k), shift in reference.shifts.items():
            kept = session.state[8 + 8 * index + 4 * k : 8 + 8 * index + 4 * k + 3]
            assert list(kept) == [shift.shift, shift.low, int(shift.seen)], (index, k)
    assert session.guards_intact()
