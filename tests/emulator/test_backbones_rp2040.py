"""The backbones of MCUNetV3 train at 128x128 on an RP2040, the chip of a 4-dollar board.

The firmware as it is flashed, its stock heap, the model read in place from ROMFS, published
schemes; within the bytes that were aimed for, and to the same bytes as on the virtual board.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared import shared

from microtrain import dataset, image
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import open_device
from microtrain.link.rom import Rom
from microtrain.run.inputs import board_scheme

PORTS = ("virtual", "emu:rp2040")
# Most bytes at the end of the block that a run leaves: scratch is enough for packed words, which
# the virtual board does not use (tests/engine.py).
UNTOUCHED = 8 + 4608
# Model, scheme, bytes in all that a training step may need.
CASES = [
    ("mcunet-5fps", "49kb", 134 * 1024),
    pytest.param("mbv2-w0.35", "49kb", 141 * 1024, marks=pytest.mark.slow),
    pytest.param("proxyless-w0.3", "49kb", 135 * 1024, marks=pytest.mark.slow),
    pytest.param("mcunet-5fps", "148kb", 173 * 1024, marks=pytest.mark.slow),
]
# The block lies between canaries, and what a run does not touch of it keeps their value.
ON_THE_BOARD = """
import gc, json, microtrain as mt
GUARD = 64
model = mt.Model("/rom/net.mtm")
model.new_head(10)
with open("/scheme.json") as f:
    scheme = json.load(f)
need = model.plan(scheme).info["total_ram_bytes"]
gc.collect()
memory = bytearray(need + 2 * GUARD)
for i in range(len(memory)):
    memory[i] = 0xA5
trainer = mt.Trainer(model, scheme, 0.004, memory=memoryview(memory)[GUARD:-GUARD])
report = trainer.fit(mt.Dataset("/photos.mtd"), on_epoch=lambda report: None)
model.save("/trained.mtc")
touched = len(memory)
while memory[touched - 1] == 0xA5:
    touched -= 1
intact = all(b == 0xA5 for b in memory[:GUARD])
print(json.dumps((model.in_place, need, touched - GUARD, intact, trainer.steps)))
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "name", "most"), CASES)
def test_in_the_bytes_aimed_for(model: str, name: str, most: int, tmp_path: Path) -> None:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    configs = shared("data/mcunet/sparse_update_configs.json")
    scheme = board_scheme(f"{configs}#{model}/{name}", graph)
    with np.load(shared(f"data/mcunet/golden/{model}_person128.npz")) as golden:
        photo = golden["input_hwc"].astype(np.int8)
    source = graph.tensors[graph.input]
    data = dataset.Dataset(
        np.stack([photo, photo[:, ::-1]]), np.array([1, 0], np.uint16), source.scale,
        source.zero_point,
    )  # fmt: skip
    dataset.write(data, tmp_path / "photos.mtd")
    saved: list[Any] = []
    for port in PORTS:
        with open_device(port, folder=tmp_path / port) as device:
            rom = Rom.of(device)
            assert rom is not None
            rom.put("net.mtm", image.to_bytes(graph), lambda done, total: None, lambda text: None)
            device.write("/scheme.json", scheme.encode())
            device.push(tmp_path / "photos.mtd", "/photos.mtd")
            device.reset()  # the heap is whole then
            lines: list[str] = []
            device.exec(ON_THE_BOARD, lines.append, timeout=500)
            in_place, need, touched, intact, steps = json.loads(lines[-1])
            assert in_place and steps == 2
            assert need <= most
            assert intact and need - UNTOUCHED <= touched <= need
            saved.append(device.read("/trained.mtc"))
    assert saved[0] == saved[1]
