"""The virtual board is fast enough for experiments: forward and training steps, one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from board_speed import forward_seconds, step_seconds
from shared import shared

from microtrain import image
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import Device, VirtualBoard
from microtrain.run.plan import plan
from microtrain.scheme import load_scheme

LEAST_MMACS_PER_S = 1000
REPETITIONS = 20  # the fastest counts: a busy machine slows down some of them
CLASSES = 10


@pytest.mark.parametrize("model", ["mbv2-w0.35", "mcunet-5fps"])
def test_on_the_virtual_board(model: str, tmp_path: Path) -> None:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    reference = f"{shared('data/mcunet/sparse_update_configs.json')}#{model}/49kb"
    data, shape = image.write(graph, tmp_path / "net.mtm"), graph.tensors[graph.input].shape
    sample = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    scheme = load_scheme(reference, graph).to_json(graph)
    with VirtualBoard(tmp_path / "board") as board, Device(board.port) as device:
        forward = min(forward_seconds(device, data, sample, REPETITIONS))
        found, _ = plan(device, tmp_path / "net.mtm", reference, new_head=CLASSES)
        step = min(step_seconds(device, data, sample, scheme, CLASSES, REPETITIONS))
    macs = found["forward_macs"] + found["backward_macs"]
    for name, count, seconds in (
        ("forward", sum(graph.macs(op) for op in graph.ops), forward), ("step", macs, step),
    ):  # fmt: skip
        speed = count / seconds / 1e6
        assert speed >= LEAST_MMACS_PER_S, f"{name}: {speed:.0f} million MACs a second"
