"""Training runs and their accuracies: JSON lines, written as they come, never measured twice."""

from __future__ import annotations

import json
from collections.abc import ItemsView
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What one accuracy belongs to.

    part: "tuning" (to choose a learning rate) or "test". exponent: log2 of the learning rate.
    steps: of a run on all training samples; one to tune makes fewer.
    """

    task: str
    model: str
    arm: str
    part: str
    exponent: int
    seed: int
    steps: int


class Runs:
    """Accuracies (0 to 1) of finished runs, in memory and in the file `path`.

    A last line that was cut short is an error that names the file: remove it by hand.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._accuracy: dict[Run, float] = {}
        names = [field.name for field in fields(Run)]
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
            try:
                entry = json.loads(line)
                run = Run(*(entry[name] for name in names))
                self._accuracy[run] = entry["accuracy"]
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}, line {number}: not a run: {error!r}") from None

    def __contains__(self, run: Run) -> bool:
        return run in self._accuracy

    def __getitem__(self, run: Run) -> float:
        return self._accuracy[run]

    def items(self) -> ItemsView[Run, float]:
        return self._accuracy.items()

    def add(self, run: Run, accuracy: float, seconds: float) -> None:
        """Remember one run, in the file too."""
        self._accuracy[run] = accuracy
        entry = asdict(run) | {"accuracy": accuracy, "seconds": round(seconds, 1)}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
