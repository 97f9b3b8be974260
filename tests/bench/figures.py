"""The committed figures of figures.txt, one a line: target, what, shape, pass, number, unit.

They are counted, not timed, so they are the same on every machine with the same compiler:
instructions a MAC in QEMU, cycles a MAC on the emulated RP2040, and Python's share of a step in
percent. `make bench-kernels RENEW=1` measures and writes them all; instructions.py and steps.py
write those of one target or network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().with_name("figures.txt")
TOLERANCE = 0.01  # of a figure
TOLERANCE_PERCENT = 0.1  # of a share: points
RENEW = "make bench-kernels RENEW=1"


@dataclass(frozen=True)
class Name:
    """What is measured. unit: of the number, in which less is better."""

    target: str
    kernel: str
    shape: str
    pass_name: str
    unit: str

    def __str__(self) -> str:
        return f"{self.target} {self.kernel} {self.shape} {self.pass_name}"


Figures = dict[Name, float]


def read(path: Path = FILE) -> Figures:
    """The figures of a file; none if there is no file. Raises ValueError for a line that is not
    one."""
    found: Figures = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            target, kernel, shape, pass_name, figure, unit = line.split()
            found[Name(target, kernel, shape, pass_name, unit)] = float(figure)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a figure: {error}") from None
    return found


def renew(measured: Figures, path: Path = FILE) -> None:
    """Write `measured` over the figures of the same names; others stay as they are."""
    path.write_text("".join(
        f"{name.target:12} {name.kernel:22} {name.shape:12} {name.pass_name:16} {figure:9.4f} "
        f"{name.unit}\n" for name, figure in (read(path) | measured).items()
    ))  # fmt: skip


def changes(measured: Figures, committed: Figures) -> tuple[list[str], list[str]]:
    """Sentences about what is worse and about what is better by more than is tolerated. A
    figure that was never committed is worse."""
    worse, better = [], []
    for name, figure in measured.items():
        before = committed.get(name)
        if before is None:
            worse.append(f"{name}: {figure:.4f} {name.unit}, none committed")
            continue
        most = TOLERANCE_PERCENT if name.unit == "percent" else TOLERANCE * before
        if abs(figure - before) > most:
            text = f"{name}: {figure:.4f} {name.unit}, committed {before:.4f}"
            (worse if figure > before else better).append(text)
    return worse, better


def table(worse: Iterable[str], better: Iterable[str]) -> str:
    """What changed, and how to renew; empty where nothing did."""
    lines = [*(f"worse:  {line}" for line in worse), *(f"better: {line}" for line in better)]
    return "\n".join([*lines, f"to commit what was measured: {RENEW}"]) if lines else ""
