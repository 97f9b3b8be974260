"""How long a board takes for one forward pass or one training step, by its own clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.link.transport import Device

LEARNING_RATE = 2.0**-10

_FORWARD = """
def run():
    model.forward(sample)
"""
# Labels in turn, so that no sample is ever learned: one without a gradient has no backward pass.
_STEP = """
model.new_head({classes})
session = mt.Trainer(model, {scheme}, lr={lr}).session
label = 0
def run():
    global label
    session.step(sample, label)
    label = (label + 1) % {classes}
"""
_REPEAT = """
for i in range({repetitions} + 1):
    start = time.ticks_us()
    run()
    if i:
        print(time.ticks_diff(time.ticks_us(), start))
"""
_OPEN = """
import time
import microtrain as mt
model = mt.Model("net.mtm")
with open("sample.bin", "rb") as f:
    sample = f.read()
"""


def forward_seconds(
    device: Device, image: bytes, sample: NDArray[np.int8], repetitions: int
) -> list[float]:
    """Seconds of each of `repetitions` forward passes, after one that is not counted."""
    return _measure(device, image, sample, _FORWARD, repetitions)


def step_seconds(
    device: Device,
    image: bytes,
    sample: NDArray[np.int8],
    scheme: dict[str, Any],
    classes: int,
    repetitions: int,
) -> list[float]:
    """Seconds of each of `repetitions` training steps, after one that is not counted.

    scheme: in the JSON form of Scheme.to_json(); classes: of a new head.
    """
    code = _STEP.format(classes=classes, scheme=scheme, lr=LEARNING_RATE)
    return _measure(device, image, sample, code, repetitions)


def _measure(
    device: Device, image: bytes, sample: NDArray[np.int8], code: str, repetitions: int
) -> list[float]:
    device.reset()
    device.write("net.mtm", image)
    device.write("sample.bin", sample.tobytes())
    lines = device.exec(_OPEN + code + _REPEAT.format(repetitions=repetitions), timeout=120)
    return [int(line) / 1e6 for line in lines.split()]
