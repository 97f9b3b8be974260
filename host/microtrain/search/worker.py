"""A process of its own with a virtual board, which runs what it is given."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from microtrain.errors import DataError
from microtrain.link import open_device
from microtrain.run.inputs import load_image
from microtrain.run.train import TrainOptions, train
from microtrain.search.results import Run

_measure: Callable[[Run], float]  # of this process, once start() has run


def start(folder: Path, options: TrainOptions) -> None:
    """Begin the process: start its board, with its files in `folder`. Raises MicrotrainError."""
    global _measure
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    graph = load_image(options.model).graph
    board = open_device("virtual", folder=folder / f"{os.getpid()}")
    file = folder / f"{os.getpid()}.json"

    def measure(run: Run) -> float:
        file.write_text(json.dumps(run.selection.scheme(graph, "search")))
        chosen = replace(options, scheme=str(file), seed=run.seed, val_every=0)
        found = train(board, chosen, lambda event: None).done["val_accuracy_after"]
        if found is None:
            raise DataError(f"{options.val}: its labels are not classes: there is no accuracy")
        return float(found)

    _measure = measure


def accuracy(run: Run) -> float:
    """Accuracy (0 to 1) on the validation data after a run. Raises MicrotrainError."""
    return _measure(run)
