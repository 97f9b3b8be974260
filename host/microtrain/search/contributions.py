"""The contribution analysis of MCUNetV3 (arXiv 2206.15472): what each part adds to the accuracy.

Gain of the biases of the last k layers: over training the classifier alone. Gain of a share of one
layer's weights: over training the biases alone, those of the largest k measured.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from microtrain.errors import DataError
from microtrain.graph import Graph
from microtrain.link.transport import Progress
from microtrain.run.inputs import load_data, load_image
from microtrain.run.train import TrainOptions
from microtrain.search.executors import Executor
from microtrain.search.results import Results, Run
from microtrain.search.selection import Selection, Share, layers, shares

_DEFAULTS = TrainOptions(Path(), Path(), 0)


@dataclass(frozen=True)
class Gains:
    """Measured gains, in accuracy (0 to 1), means over seeds. base: the classifier alone."""

    base: float
    biases: dict[int, float]
    shares: dict[Share, float]

    def total(self, selection: Selection) -> float:
        """The sum of the gains of a selection's parts."""
        shares = sum(self.shares[share] for share in selection.shares)
        return self.biases[selection.biases] + shares

    def less(self, cost: float) -> Gains:
        """The gains with `cost` taken from that of every share: their best sum has fewer, larger
        ones. Gains overlap, and of many measured ones the largest are too large by chance."""
        return replace(self, shares={share: gain - cost for share, gain in self.shares.items()})


class Analysis:
    """The runs that an analysis needs, and what of them is known.

    options: how every run trains; `val` must be given; scheme, seed, save, checkpoint must not.
    biases: the numbers k to measure, besides 0. seeds: runs of each, with seeds 1, 2, ...
    path: file of the results; where it has some of the runs, these are not run again.
    Raises MicrotrainError.
    """

    def __init__(
        self, options: TrainOptions, biases: Sequence[int], seeds: int, path: Path
    ) -> None:
        if options.val is None:
            raise DataError("an analysis measures accuracy: give validation data")
        image = load_image(options.model)
        self.graph: Graph = image.graph
        count = len(layers(self.graph))
        if not biases or min(biases) < 1 or max(biases) > count:
            raise DataError(
                f"numbers of layers with trained biases: 1 to {count} in {options.model}"
            )
        self.options, self.seeds = options, seeds
        self.biases = sorted({0, *biases})
        self.shares = shares(self.graph, self.biases[-1])
        # Without what is as by default: files stay good when options are added.
        subject: dict[str, Any] = {
            name: value
            for name, value in asdict(replace(options, seed=None, save=None, val_every=1)).items()
            if value != getattr(_DEFAULTS, name)
        }
        for name in ("data", "val"):
            load_data(subject[name], self.graph)
        for name in ("model", "data", "val"):
            subject[f"{name}_sha256"] = hashlib.sha256(subject.pop(name).read_bytes()).hexdigest()
        self.results = Results(path, subject)

    def runs(self) -> list[Run]:
        """All runs of the analysis, the biases' first."""
        every = [Selection(k) for k in self.biases]
        every += [Selection(self.biases[-1], (share,)) for share in self.shares]
        return [Run(selection, seed) for selection in every for seed in range(1, self.seeds + 1)]

    def measure(self, executor: Executor, progress: Progress) -> None:
        """Do the runs that are missing, each on a virtual board of `executor`.

        progress: (runs done, in all). Ctrl-C loses no more than the runs that are under way.
        Raises MicrotrainError.
        """
        every = self.runs()
        missing = [run for run in every if run not in self.results.accuracy]
        known = len(every) - len(missing)
        progress(known, len(every))
        if not missing:
            return
        with contextlib.closing(executor.measure(self.options, missing)) as finished:
            for done, (run, accuracy) in enumerate(finished, known + 1):
                self.results.add(run, accuracy)
                progress(done, len(every))

    def gains(self) -> Gains:
        """The gains, once all runs are done. Raises KeyError before.

        Seeds that are known of some selections only count too.
        """
        mean = self.results.mean
        base, most = mean(Selection(0)), self.biases[-1]
        return Gains(
            base,
            {k: mean(Selection(k)) - base for k in self.biases},
            {
                share: mean(Selection(most, (share,))) - mean(Selection(most))
                for share in self.shares
            },
        )
