"""A backbone of MCUNetV3 trains at 128x128 on an RP2040, the chip of a 4-dollar board.

The firmware as it is flashed, its stock heap, the model read in place from ROMFS, the published
49 KB scheme; to the same bytes as on the virtual board.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shared import shared

from microtrain import dataset, image
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import open_device
from microtrain.link.rom import Rom
from microtrain.run.train import TrainOptions, train

MODEL = "mcunet-5fps"
PORTS = ("virtual", "emu:rp2040")


@pytest.mark.timeout(400)
def test_the_same_bytes_as_on_the_virtual_board(tmp_path: Path) -> None:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{MODEL}.npz"))
    path = tmp_path / f"{MODEL}.mtm"
    image.write(graph, path)
    with np.load(shared(f"data/mcunet/golden/{MODEL}_person128.npz")) as golden:
        photo = golden["input_hwc"].astype(np.int8)
    source = graph.tensors[graph.input]
    data = tmp_path / "photos.mtd"
    dataset.write(
        dataset.Dataset(
            np.stack([photo, photo[:, ::-1]]), np.array([1, 0], np.uint16), source.scale,
            source.zero_point,
        ),
        data,
    )  # fmt: skip
    options = TrainOptions(
        path, data, epochs=1, lr=0.004, new_head=10, save=tmp_path / "trained.mtc",
        scheme=f"{shared('data/mcunet/sparse_update_configs.json')}#{MODEL}/49kb",
    )  # fmt: skip
    done, saved = [], []
    for port in PORTS:
        with open_device(port, folder=tmp_path / port) as device:
            rom = Rom.of(device)
            assert rom is not None
            rom.put(path.name, path.read_bytes(), lambda done, total: None, lambda text: None)
            done.append(train(device, options, lambda event: None).done)
            saved.append((tmp_path / "trained.mtc").read_bytes())
    assert saved[0] == saved[1]
    for key in ("steps", "train_loss", "total_ram_bytes", "checkpoint_sha256", "image_sha256"):
        assert done[0][key] == done[1][key], key
    assert done[0]["steps"] == 2 and done[0]["total_ram_bytes"] > 200_000
