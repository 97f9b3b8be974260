"""No kernel and no training step takes more than the committed figures say: instructions on the
processors that QEMU runs, cycles on the emulated RP2040. What takes less is a warning."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
from shared import shared

sys.path.insert(0, str(Path(__file__).resolve().parent))

import figures
import instructions
import steps
from figures import Figures, Name

CYCLES = Name("m0", "conv", "8x8", "forward", "cycles/MAC")


def check(measured: Figures) -> None:
    worse, better = figures.changes(measured, figures.read())
    if better:
        warnings.warn(figures.table([], better), stacklevel=2)
    assert not worse, "\n" + figures.table(worse, better)


@pytest.mark.parametrize("target", instructions.TARGETS, ids=lambda target: target.name)
def test_kernels(target: instructions.Target) -> None:
    check(instructions.measure(target))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", steps.NETWORKS)
def test_whole_steps(model: str) -> None:
    shared("data/mcunet")
    check(steps.measure(model))


def test_every_figure_is_measured() -> None:
    kernels = {(target.name, f"{kernel.name} {kernel.shape}", name)
               for target in instructions.TARGETS for kernel in instructions.KERNELS
               for _, passes in instructions.RUNS for name in passes}  # fmt: skip
    networks = {(steps.TARGET, f"{model}-{steps.SCHEME} {steps.SHAPE}", name)
                for model in steps.NETWORKS for name in steps.PASSES}  # fmt: skip
    committed = {(name.target, f"{name.kernel} {name.shape}", name.pass_name)
                 for name in figures.read()}  # fmt: skip
    assert committed == kernels | networks


@pytest.mark.parametrize(("before", "figure", "worse", "better"), [
    (2.0, 2.019, 0, 0), (2.0, 1.981, 0, 0), (2.0, 2.021, 1, 0), (2.0, 1.979, 0, 1),
])  # fmt: skip
def test_one_percent(before: float, figure: float, worse: int, better: int) -> None:
    found = figures.changes({CYCLES: figure}, {CYCLES: before})
    assert [len(lines) for lines in found] == [worse, better]
    assert bool(worse or better) == (figures.RENEW in figures.table(*found))


def test_a_figure_without_a_committed_one_is_worse() -> None:
    worse, better = figures.changes({CYCLES: 2.0}, {})
    assert len(worse) == 1 and "m0 conv 8x8 forward" in worse[0] and not better


def test_renewing_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "figures.txt"
    other = Name("rv32", "linear", "640->128", "backward_input", "instructions/MAC")
    figures.renew({CYCLES: 2.0, other: 3.25}, path)
    figures.renew({CYCLES: 1.5}, path)
    assert figures.read(path) == {CYCLES: 1.5, other: 3.25}
    path.write_text("m0 conv 8x8 forward fast cycles/MAC\n")
    with pytest.raises(ValueError, match="line 1"):
        figures.read(path)
