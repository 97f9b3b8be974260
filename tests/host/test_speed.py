"""The virtual board is fast enough for experiments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from board_speed import forward_seconds
from shared import shared

from microtrain import image
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import Device, VirtualBoard

LEAST_MMACS_PER_S = 300
REPETITIONS = 20  # the fastest counts: a busy machine slows down some of them


def test_forward_on_the_virtual_board(tmp_path: Path) -> None:
    graph = import_mcunet(shared("data/mcunet/models_npz/mbv2-w0.35.npz"))
    shape = graph.tensors[graph.input].shape
    sample = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    with VirtualBoard(tmp_path) as board, Device(board.port) as device:
        seconds = forward_seconds(device, image.to_bytes(graph), sample, REPETITIONS)
    macs = sum(graph.macs(op) for op in graph.ops)
    best = macs / min(seconds) / 1e6
    assert best >= LEAST_MMACS_PER_S, f"{best:.0f} million MACs a second, {len(seconds)} passes"
