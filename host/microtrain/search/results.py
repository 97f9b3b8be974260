"""The file of measurements: JSON lines, written as they come, read when a search goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microtrain.errors import DataError
from microtrain.files import write_atomically
from microtrain.search.selection import Selection

VERSION = 1


@dataclass(frozen=True)
class Run:
    """One training run to measure."""

    selection: Selection
    seed: int


class Results:
    """Accuracies (0 to 1) of finished runs, in memory and in the file `path`.

    subject: what they are measured on and how: hashes and options, JSON values. A file about
    another subject is refused; a last line that was cut short, where a program was killed as it
    wrote, is dropped. Raises DataError.
    """

    def __init__(self, path: Path, subject: dict[str, Any]) -> None:
        self.path = path
        self.accuracy: dict[Run, float] = {}
        header = {"microtrain_search": VERSION} | subject
        if path.exists() and (text := path.read_text()).strip():
            whole = text[: text.rfind("\n") + 1]
            self._load(whole.splitlines(), header)
            if whole != text:
                write_atomically(path, whole.encode())
        else:
            write_atomically(path, (json.dumps(header) + "\n").encode())

    def _load(self, lines: list[str], header: dict[str, Any]) -> None:
        try:
            found, *entries = [json.loads(line) for line in lines]
            for entry in entries:
                shares = tuple((str(name), float(ratio)) for name, ratio in entry["shares"])
                run = Run(Selection(entry["biases"], shares), entry["seed"])
                self.accuracy[run] = float(entry["accuracy"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path}: not a file of measurements: {error!r}") from error
        if found != header:
            keys = found.keys() | header.keys() if isinstance(found, dict) else set()
            different = sorted(key for key in keys if found.get(key) != header.get(key))
            raise DataError(
                f"{self.path}: measured on something else ({', '.join(different)} differ): "
                "name another file for the results"
            )

    def add(self, run: Run, accuracy: float) -> None:
        """Remember one run, in the file too."""
        self.accuracy[run] = accuracy
        entry = asdict(run.selection) | {"seed": run.seed, "accuracy": accuracy}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def mean(self, selection: Selection) -> float:
        """Mean accuracy over all seeds there are. Raises KeyError where there is none."""
        found = [accuracy for run, accuracy in self.accuracy.items() if run.selection == selection]
        if not found:
            raise KeyError(selection)
        return sum(found) / len(found)
