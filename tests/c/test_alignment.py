"""Activations, masks and gradients at every address modulo 16: the same bytes."""

from __future__ import annotations

import engine as E
import numpy as np
import pytest
from graphs import random_graph
from reference.training import ReferenceTrainer
from schemes import engine_layers, random_layers

from microtrain import image

BYTE_BUFFERS = ("inputs", "out", "mask", "saved", "grad_out", "grad_masked", "grad_in", "skip")
WIDE, TOP16 = (
    256,
    4096,
)  # flags of an operator whose output is int32, whose output gradient is int16


def move(plan: E.Plan, offset: int) -> None:
    """Shift every int8 buffer of the arena by `offset` and put the others behind them."""
    behind = (plan.info.arena_bytes + 31) // 16 * 16
    last = plan.c.run_count - 1

    def moved(value: int, wide: bool = False) -> int:
        return value if value == E.NONE else value + (behind if wide else offset)

    logits = bool(plan.c.ops[last].flags & WIDE)
    for index in range(plan.c.run_count):
        op = plan.c.ops[index]
        for name in BYTE_BUFFERS:
            wide = logits and index == last and name in ("out", "grad_out", "grad_masked")
            value = getattr(op, name)
            if isinstance(value, int):
                setattr(op, name, moved(value, wide))
            else:
                for k in range(2):
                    value[k] = moved(value[k], wide)
        op.scratch_forward = moved(op.scratch_forward, True)
        op.scratch_backward = moved(op.scratch_backward, True)
    plan.c.input = moved(plan.c.input)
    plan.c.output = moved(plan.c.output, logits)
    plan.c.grad_top = moved(plan.c.grad_top, logits)
    plan.c.loss_scratch = moved(plan.c.loss_scratch, True)
    plan.info.total_bytes += 2 * behind


@pytest.mark.parametrize("seed", range(12))
def test_every_alignment_gives_the_same_bytes(seed: int) -> None:
    rng = np.random.default_rng(700 + seed)
    graph = random_graph(rng, 7)
    layers = random_layers(rng, graph, len(ReferenceTrainer(graph, {}).ops))
    data = image.to_bytes(graph)
    samples = rng.integers(-128, 128, (3, *graph.tensors[graph.input].shape)).astype(np.int8)
    states = []
    for offset in range(16):
        plan = E.Plan(
            E.Model(data, base_offset=offset // 4 * 4),
            engine_layers(layers, graph),
            E.CROSS_ENTROPY,
        )
        if offset:
            move(plan, offset)
        session = E.Session(plan, seed=5, lr=0.05)
        for x in samples:
            session.step(x, 0)
        assert session.guards_intact()
        states.append(session.state.tobytes())
    assert len(set(states)) == 1
