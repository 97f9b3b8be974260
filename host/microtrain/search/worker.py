"""A virtual board that measures runs, in a process that has it alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from microtrain.errors import DataError
from microtrain.link import open_device
from microtrain.run.inputs import load_image
from microtrain.run.train import TrainOptions, train
from microtrain.search.results import Run


def worker(folder: Path, options: TrainOptions) -> Callable[[Run], float]:
    """Start a board with its files in `folder`; returns what measures a run on it.

    That is accuracy (0 to 1) on the validation data after the run. Both raise MicrotrainError.
    """
    graph = load_image(options.model).graph
    board = open_device("virtual", folder=folder / "board")
    file = folder / "scheme.json"

    def accuracy(run: Run) -> float:
        file.write_text(json.dumps(run.selection.scheme(graph, "search")))
        chosen = replace(options, scheme=str(file), seed=run.seed, val_every=0)
        found = train(board, chosen, lambda event: None).done["val_accuracy_after"]
        if found is None:
            raise DataError(f"{options.val}: its labels are not classes: there is no accuracy")
        return float(found)

    return accuracy
