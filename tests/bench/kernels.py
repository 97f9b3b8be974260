"""Speed of the kernels and of whole networks on this machine, one thread: `make bench-kernels`.

Networks: forward pass and training step on the virtual board, through the board's own clock
(MCUNetV3's backbones at 128x128, published scheme 49kb, new head of 10 classes; they need the
reference folder). Kernels: forward, input gradient, and weight gradient with its update, of one
operator of the engine's shared library, bias and requantisation included.
Times are medians. Then the same kernels on emulated processors (instructions.py) and whole steps
on the emulated RP2040 (steps.py), beside the committed figures, which --renew replaces
(figures.py). --cmsis-nn adds CMSIS-NN's forward kernels beside ours (cmsis_nn.py).
Writes build/bench/kernels.json: unit "ns/MAC" is nanoseconds of this machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

import backbones  # noqa: E402
import cmsis_nn  # noqa: E402
import engine as E  # noqa: E402
import figures  # noqa: E402
import instructions  # noqa: E402
import steps  # noqa: E402
from board_speed import forward_seconds, step_seconds  # noqa: E402
from kernel_graphs import CLASSES, INPUT, KERNELS, TESTED, WEIGHT, Kernel, graph_of  # noqa: E402

from microtrain import image  # noqa: E402
from microtrain.link.ports import open_device  # noqa: E402
from microtrain.run.plan import plan  # noqa: E402
from microtrain.scheme import load_scheme  # noqa: E402

PASSES = {"forward": INPUT, "backward_input": INPUT, "weight_update": WEIGHT}


def seconds_of(session: E.Session, backward: bool, repetitions: int) -> float:
    """Median seconds of the tested operator's forward or backward pass inside training steps."""
    pointer, library, rng = session.pointer, E.LIB, np.random.default_rng(1)
    x = rng.integers(-128, 128, session.input_shape).astype(np.int8)
    taken = []
    for repetition in range(repetitions + 1):
        E.C.memmove(library.mt_session_input(pointer), x.ctypes.data, x.size)
        marks = {}
        for op in range(session.plan.c.run_count):
            start = time.perf_counter_ns()
            library.mt_session_forward_op(pointer, op)
            marks[op, False] = time.perf_counter_ns() - start
        session.cross_entropy(repetition % CLASSES)
        for op in reversed(range(session.plan.c.run_count)):
            start = time.perf_counter_ns()
            library.mt_session_backward_op(pointer, op)
            marks[op, True] = time.perf_counter_ns() - start
        taken.append(marks[TESTED, backward] / 1e9)
    return statistics.median(taken[1:])


def kernel_rows(kernel: Kernel, repetitions: int) -> Iterator[dict[str, Any]]:
    graph = graph_of(kernel)
    model, macs = E.Model(image.to_bytes(graph)), graph.macs(graph.ops[TESTED])
    for name, layers in PASSES.items():
        planned = E.Plan(model, layers, E.CROSS_ENTROPY)
        if name != "forward" and planned.layer(TESTED).backward_macs != macs:
            raise RuntimeError(
                f"{kernel.name} {kernel.shape}: {name} is not alone: "
                f"{planned.layer(TESTED).backward_macs} MACs planned, {macs} expected"
            )
        session = E.Session(planned, lr=2.0**-10)
        seconds = seconds_of(session, name != "forward", repetitions)
        yield row(kernel.name, name, kernel.shape, seconds, macs)


def network_rows(repetitions: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, open_device("virtual") as device:
        for model in steps.NETWORKS:
            path, sample = backbones.write_image(model, Path(folder)), backbones.photo(model)
            data, reference = path.read_bytes(), backbones.published()[model][steps.SCHEME]
            found, _ = plan(device, path, reference, new_head=backbones.CLASSES)
            forward = statistics.median(forward_seconds(device, data, sample, repetitions))
            imported = image.from_bytes(data)
            macs = sum(imported.macs(op) for op in imported.ops)  # with its 1000-class head
            yield row(model, "forward", "128x128x3", forward, macs)
            scheme = load_scheme(reference, imported).to_json(imported)
            step = statistics.median(
                step_seconds(device, data, sample, scheme, backbones.CLASSES, repetitions)
            )
            macs = found["forward_macs"] + found["backward_macs"]
            yield row(f"{model} {steps.SCHEME}", "step", "128x128x3", step, macs)


def row(kernel: str, name: str, shape: str, seconds: float, macs: int) -> dict[str, Any]:
    """One entry of kernels.json, also printed."""
    per_mac = seconds * 1e9 / macs
    print(f"{kernel:20} {name:15} {shape:12} {macs / 1e6:8.3f} {seconds * 1e3:9.3f} "
          f"{per_mac:8.3f} {1e3 / per_mac:8.0f}", flush=True)  # fmt: skip
    return {"target": "virtual", "kernel": kernel, "pass": name, "shape": shape,
            "figure": round(per_mac, 4), "unit": "ns/MAC"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=41)
    parser.add_argument("--renew", action="store_true", help="write figures.txt")
    parser.add_argument("--cmsis-nn", type=cmsis_nn.checkout, help="a checkout of CMSIS-NN")
    parser.add_argument("--out", type=Path, default=REPO / "build/bench/kernels.json")
    options = parser.parse_args()
    print(f"{'kernel':20} {'pass':15} {'shape':12} {'MMACs':>8} {'ms':>9} {'ns/MAC':>8} "
          f"{'MMACs/s':>8}")  # fmt: skip
    rows: list[dict[str, Any]] = []
    if backbones.available():
        rows += network_rows(options.repetitions)
    else:
        print(f"no reference folder {backbones.SHARED}: no whole networks")
    for kernel in KERNELS:
        rows += kernel_rows(kernel, options.repetitions)
    counted: figures.Figures = {}
    for target in instructions.TARGETS:
        counted |= instructions.measure(target)
    for model in steps.NETWORKS if backbones.available() else ():
        counted |= steps.measure(model)
    print(figures.table(*figures.changes(counted, figures.read())))
    if options.renew:
        figures.renew(counted)
    for line in cmsis_nn.table(options.cmsis_nn, counted) if options.cmsis_nn else ():
        print(line, flush=True)
    rows += [
        {"target": name.target, "kernel": name.kernel, "pass": name.pass_name,
         "shape": name.shape, "figure": round(figure, 4), "unit": name.unit}
        for name, figure in counted.items()
    ]  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
