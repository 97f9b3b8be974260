"""Whole training steps on the emulated RP2040: cycles a MAC, Python's share of their time, and
what it costs a forward pass that layers are partly trained.

MCUNetV3's backbones at 128x128 with the published 49 KB scheme and a new head of 10 classes, as
the board trains: the stock firmware and heap, the model in place in ROMFS, the samples streamed
from a file by Trainer.fit. The second epoch counts, of two samples: in the first the gradients'
exponents are found. Forward and step (forward, loss, backward, update) are the engine's, from its
call to its return; what fit() takes beyond is Python's. The emulator leaves out cache misses.

    .venv/bin/python tests/bench/steps.py [--renew] [MODEL ...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import backbones  # noqa: E402
import figures  # noqa: E402
from figures import Figures, Name  # noqa: E402

from microtrain import dataset, image  # noqa: E402
from microtrain.link import open_device  # noqa: E402
from microtrain.link.rom import Rom  # noqa: E402
from microtrain.run.inputs import board_scheme  # noqa: E402

NETWORKS = ("mbv2-w0.35", "mcunet-5fps")
SCHEME = "49kb"
CYCLES_PER_US = 125
SHAPE = "128x128x3"
TARGET = "cortex-m0+"
SHARES = ("python", "mixed")  # of a step; of a forward pass, what partly trained layers cost
PASSES = ("forward", "step", "python", "mixed")
ON_THE_BOARD = """
import gc, json, time, microtrain as mt
class Timed:
    def __init__(self, session):
        self.session, self.us = session, 0
    def __getattr__(self, name):
        return getattr(self.session, name)
    def step(self, x, y):
        start = time.ticks_us()
        loss = self.session.step(x, y)
        self.us += time.ticks_diff(time.ticks_us(), start)
        return loss
model = mt.Model("/rom/net.mtm")
model.new_head({classes})
with open("/scheme.json") as f:
    scheme = json.load(f)
gc.collect()
trainer = mt.Trainer(model, scheme, 0.004)
data = mt.Dataset("/photos.mtd")
trainer.fit(data, on_epoch=lambda report: None)
session = trainer.session
trainer.session = timed = Timed(session)
start = time.ticks_us()
trainer.fit(data, on_epoch=lambda report: None)
fit = time.ticks_diff(time.ticks_us(), start)
def forward(session):
    data.seek(0)
    start = time.ticks_us()
    session.forward(data.source)
    return time.ticks_diff(time.ticks_us(), start)
info = trainer.plan.info
found = (forward(session), info["forward_macs"], timed.us // len(data),
    info["forward_macs"] + info["backward_macs"], fit // len(data))
trainer.session = session
trainer = session = timed = None
model.reset()
model.new_head({classes})
gc.collect()
# The same with layers of which a part is trained left in flash.
for name, layer in scheme["layers"].items():
    if isinstance(layer["weights"], list):
        scheme["layers"][name] = dict(layer, weights="none")
print(*found, forward(mt.Trainer(model, scheme, 0.004).session))
"""


def measure(model: str) -> Figures:
    """The figures of one network, also printed. Needs the reference folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, photo = backbones.write_image(model, folder), backbones.photo(model)
        graph = image.read(path)
        source = graph.tensors[graph.input]
        photos = dataset.Dataset(
            np.stack([photo, photo[:, ::-1]]), np.array([1, 0], np.uint16), source.scale,
            source.zero_point,
        )  # fmt: skip
        dataset.write(photos, folder / "photos.mtd")
        scheme = board_scheme(backbones.published()[model][SCHEME], graph)
        with open_device("emu:rp2040", folder=folder / "board") as device:
            rom = Rom.of(device)
            if rom is None:
                raise RuntimeError("the emulated RP2040 has no ROMFS")
            rom.put("net.mtm", path.read_bytes(), lambda done, total: None, lambda text: None)
            device.write("/scheme.json", scheme.encode())
            device.push(folder / "photos.mtd", "/photos.mtd")
            device.reset()
            code = ON_THE_BOARD.format(classes=backbones.CLASSES)
            line = device.exec(code, timeout=600)
    forward, forward_macs, step, macs, fit, whole = map(int, line.split())
    print(f"{model}: forward {forward / 1e6:.3f} s of {forward_macs / 1e6:.1f} M MACs, step "
          f"{step / 1e6:.3f} s of {macs / 1e6:.1f} M, fit {fit / 1e6:.3f} s a sample")  # fmt: skip
    network = f"{model}-{SCHEME}"
    per_mac = [forward * CYCLES_PER_US / forward_macs, step * CYCLES_PER_US / macs]
    shares = [100 * (fit - step) / fit, 100 * (forward - whole) / forward]
    found = {
        Name(TARGET, network, SHAPE, name, "percent" if name in SHARES else "cycles/MAC"): figure
        for name, figure in zip(PASSES, [*per_mac, *shares], strict=True)
    }
    for entry, figure in found.items():
        print(f"{entry.target:12} {entry.kernel:22} {entry.pass_name:15} {entry.shape:12} "
              f"{figure:8.3f} {entry.unit}", flush=True)  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=NETWORKS)
    parser.add_argument("--renew", action="store_true", help="write them to figures.txt")
    options = parser.parse_args()
    for model in options.models:
        found = measure(model)
        print(figures.table(*figures.changes(found, figures.read())))
        if options.renew:
            figures.renew(found)


if __name__ == "__main__":
    main()
