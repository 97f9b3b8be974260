"""Instructions a MAC of every kernel on the processors that QEMU runs, and cycles a MAC on the
emulated RP2040, counted on the board: for kernels.py, or alone, beside the committed figures.

    .venv/bin/python tests/bench/instructions.py [--renew] [TARGET ...]

QEMU counts exactly (-icount shift=0) and knows no time: no cycle, cache or wait state. Its boards'
counters step by 25 to 50 instructions, the RP2040's by 125 cycles; its emulator leaves out cache
misses. The call from Python, some hundred instructions, is included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import engine as E  # noqa: E402
import figures  # noqa: E402
from figures import Figures, Name  # noqa: E402
from kernel_graphs import INPUT, KERNELS, TESTED, WEIGHT, Kernel, graph_of  # noqa: E402

from microtrain import image  # noqa: E402
from microtrain.link import Device  # noqa: E402
from microtrain.link.emulated import EmulatedRP2040  # noqa: E402
from microtrain.link.qemu import QemuBoard  # noqa: E402


@dataclass(frozen=True)
class Target:
    """A processor: its board, and how much of `unit` a tick of time.ticks_cpu() there is."""

    name: str
    port: str
    unit: str = "instructions"
    unit_a_tick: int = 1


TARGETS = (
    Target("cortex-m0+", "emu:rp2040", "cycles", 125),
    Target("cortex-m3", "qemu:cortex-m3"),
    Target("cortex-m33", "qemu:cortex-m33"),
    Target("rv32", "qemu:rv32"),
    Target("xtensa", "qemu:xtensa"),
)

# The second step counts: its label is another, so that it has a gradient. The third has the
# learning rate 0, so that weight gradients are computed and nothing is updated.
ON_THE_BOARD = """
import time, _microtrain
plan = _microtrain.Plan(
    _microtrain.Model(open("net.mtm", "rb").read()), {layers}, _microtrain.CROSS_ENTROPY, 0,
    False, 8, 0, 0)
session = _microtrain.Session(plan)
session.lr(2.0**-10)
sample = open("sample.bin", "rb").read()
def run(op, backward):
    start = time.ticks_cpu()
    session.run_op(op, backward)
    return time.ticks_diff(time.ticks_cpu(), start)
counted = []
for label in range(3):
    if label == 2:
        session.lr(0)
    session.input[:] = sample
    forward = [run(op, False) for op in range({ops})]
    session.loss(label)
    backward = [run(op, True) for op in reversed(range({ops}))]
    counted += (forward[{tested}], backward[{ops} - 1 - {tested}])
print(*counted[2:])
"""

# What is trained, and which of the numbers it prints are which pass.
RUNS = (
    (INPUT, {"forward": 0, "backward_input": 1}),
    (WEIGHT, {"backward_weight": 3, "weight_update": 1}),
)


def counts(target: Target, kernels: tuple[Kernel, ...] = KERNELS
           ) -> Iterator[tuple[Kernel, str, int, int]]:  # fmt: skip
    """(kernel, pass, instructions or cycles, MACs). Raises DeviceError for a board not built."""
    board = (
        EmulatedRP2040() if target.port == "emu:rp2040"
        else QemuBoard(target.port, count_instructions=True)
    )  # fmt: skip
    with board, Device(board.port) as device:
        for kernel in kernels:
            graph = graph_of(kernel)
            macs = graph.macs(graph.ops[TESTED])
            x = np.random.default_rng(1).integers(-128, 128, kernel.source).astype(np.int8)
            device.write("net.mtm", image.to_bytes(graph))
            device.write("sample.bin", x.tobytes())
            for layers, passes in RUNS:
                device.reset()
                code = ON_THE_BOARD.format(
                    layers=[
                        (op, layer.bias, kernel.source[2] if layer.channels == E.ALL else 0)
                        for op, layer in layers.items()
                    ],
                    ops=len(graph.ops), tested=TESTED,
                )  # fmt: skip
                ticks = device.exec(code, timeout=240).split()
                for name, index in passes.items():
                    yield kernel, name, int(ticks[index]) * target.unit_a_tick, macs


def measure(target: Target) -> Figures:
    """The target's figures, also printed."""
    found: Figures = {}
    for kernel, pass_name, count, macs in counts(target):
        name = Name(target.name, kernel.name, kernel.shape, pass_name, f"{target.unit}/MAC")
        found[name] = count / macs
        print(f"{target.name:12} {kernel.name:22} {pass_name:15} {kernel.shape:12} "
              f"{count / macs:8.3f} {target.unit}", flush=True)  # fmt: skip
    return found


def main() -> None:
    targets = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(targets), help=", ".join(targets))
    parser.add_argument("--renew", action="store_true", help="write them to figures.txt")
    options = parser.parse_args()
    for name in options.targets:
        found = measure(targets[name])
        print(figures.table(*figures.changes(found, figures.read())))
        if options.renew:
            figures.renew(found)


if __name__ == "__main__":
    main()
