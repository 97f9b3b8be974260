"""What each part of sparse int8 training is worth: two data sets, memory against accuracy.

`make bench-ablation`, or `python tests/bench/ablation.py --tasks cifar10 --arms 99kb last`. Needs
the reference folder (../shared or MICROTRAIN_SHARED), npm, and PyTorch (`pip install -e
host[torch]`). mcunet-5fps at 128x128, every arm learns from the same samples, in as many steps,
with the learning rate that was best for it on a part of the training samples held back.

Every run is a line of build/bench/ablation.jsonl, and is not repeated. `--results
tests/bench/ablation.jsonl` prints and draws what is committed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(REPO / "host")]

import backbones  # noqa: E402
import engine as E  # noqa: E402
from analytic import extra_bytes  # noqa: E402
from runs import Run, Runs  # noqa: E402
from tasks import TASKS, Split, Task  # noqa: E402
from transfer import FloatTwin, IntegerTwin, planned  # noqa: E402

from microtrain.graph import Graph  # noqa: E402
from microtrain.importers.mcunet import import_mcunet  # noqa: E402
from microtrain.scheme import Scheme, load_scheme  # noqa: E402

# Both are the paper's; it has the smaller memory, and its last 12 layers need more than twice what
# its 99 KB scheme does when everything is counted.
MODEL = "mcunet-5fps"
STEPS = {"sign_digits": 2000, "cifar10": 4000}  # whole epochs of 1,000 and 4,000 samples
SEEDS_OF_PAIRS = 6  # of arms whose small differences are to be seen: int8 and fp32
SEEDS_OF_CLOSE_PAIR = 12  # of the one where six left it open, which also has a steadier rate
TUNING_SEEDS = (100, 101, 102)  # of the runs that choose a learning rate


@dataclass(frozen=True)
class Arm:
    """How one of the things compared is trained.

    scheme: what --scheme takes, or a published name, which ":biases" leaves no weights but the
    classifier's. precision: "int8" or "fp32". starts: log2 of
    the learning rates with which the search for the best begins. tuning_seeds: how many runs each
    of them gets.
    """

    label: str
    scheme: str
    precision: str
    starts: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)  # of the twin
    tuning_seeds: int = 1
    seeds: int = 3

    def twin(self, graph: Graph, task: Task) -> IntegerTwin | FloatTwin:
        scheme = resolved(graph, self.scheme)
        if self.precision == "fp32":
            return FloatTwin(graph, scheme, task, **self.options)
        return IntegerTwin(graph, scheme, task, **self.options)


ARMS = {
    "99kb": Arm("sparse 99 KB", "99kb", "int8", (-9,), seeds=SEEDS_OF_PAIRS),
    "99kb fp32": Arm("sparse 99 KB, fp32", "99kb", "fp32", (-9,), seeds=SEEDS_OF_PAIRS),
    # Its highest useful rate is the last before it diverges, in one run or in most.
    "99kb no-qas": Arm("sparse 99 KB, no QAS", "99kb", "int8", (-8, -4, 0, 4, 8), {"qas": False},
                       tuning_seeds=3),
    # The rate of the body alone, with the head at one that is right with QAS.
    "99kb no-qas head": Arm("sparse 99 KB, no QAS, head's own rate", "99kb", "int8",
                            (-4, 0, 4, 8, 12), {"qas": False, "head_lr": 2.0**-8}),
    "last-12": Arm("last 12 layers", "last-12", "int8", (-9,)),
    "last": Arm("last layer", "last", "int8", (-6,)),
    "49kb": Arm("sparse 49 KB", "49kb", "int8", (-8,)),
    "74kb": Arm("sparse 74 KB", "74kb", "int8", (-8,)),
    "99kb biases": Arm("biases of the 99 KB scheme", "99kb:biases", "int8", (-8,)),
    "bias": Arm("all biases", "bias", "int8", (-8,)),
    "full fp32": Arm("everything, fp32", "full", "fp32", (-10,)),
    "49kb fp32": Arm("sparse 49 KB, fp32", "49kb", "fp32", (-8,),
                     tuning_seeds=3, seeds=SEEDS_OF_CLOSE_PAIR),
    "last-6": Arm("last 6 layers", "last-6", "int8", (-8,)),
    "74kb fp32": Arm("sparse 74 KB, fp32", "74kb", "fp32", (-8,), seeds=SEEDS_OF_PAIRS),
    "last fp32": Arm("last layer, fp32", "last", "fp32", (-6,)),
    "last-12 fp32": Arm("last 12 layers, fp32", "last-12", "fp32", (-9,)),
    # What is lost where: by the weights' 8 bits, by the gradients', by the activations'.
    "49kb wide": Arm("sparse 49 KB, wide", "49kb", "int8", (-8,), {"wide": E.WIDE_ALL},
                     tuning_seeds=3, seeds=SEEDS_OF_CLOSE_PAIR),
    "74kb wide": Arm("sparse 74 KB, wide", "74kb", "int8", (-8,), {"wide": E.WIDE_ALL},
                     seeds=SEEDS_OF_PAIRS),
    "99kb wide": Arm("sparse 99 KB, wide", "99kb", "int8", (-9,), {"wide": E.WIDE_ALL},
                     seeds=SEEDS_OF_PAIRS),
    "99kb 12 bits": Arm("sparse 99 KB, gradients of 12 bits", "99kb", "int8", (-9,),
                        {"gradient_bits": 12}),
    "99kb rounded": Arm("sparse 99 KB, fp32 with int8 activations", "99kb", "fp32", (-9,),
                        {"rounded": True}),
}  # fmt: skip


def resolved(graph: Graph, scheme: str) -> Scheme:
    name, _, part = scheme.partition(":")
    found = load_scheme(backbones.published()[MODEL].get(name, name), graph)
    if part != "biases":
        return found
    *body, head = found.layers
    return Scheme(scheme, (*(replace(layer, weights=None) for layer in body), head))


def best_rate(accuracy: Callable[[int], float], starts: Sequence[int]) -> int:
    """log2 of the learning rate of the highest accuracy: the best start, then by octaves until
    both neighbours of the best are worse. Of equals, the smallest."""
    tried = {exponent: accuracy(exponent) for exponent in starts}
    while True:
        best = max(sorted(tried), key=tried.__getitem__)
        missing = [e for e in (best - 1, best + 1) if e not in tried]
        if not missing:
            return best
        tried[missing[0]] = accuracy(missing[0])


class Bench:
    """Runs of one task, from the file where they are there."""

    def __init__(self, graph: Graph, task: Task, runs: Runs, steps: int) -> None:
        self.graph, self.task, self.runs, self.steps = graph, task, runs, steps
        self.twin = cache(lambda arm: ARMS[arm].twin(graph, task))

    def accuracy(self, arm: str, exponent: int, seed: int, split: Split, part: str) -> float:
        """Accuracy of one run, 0 to 1."""
        run = Run(self.task.name, MODEL, arm, part, exponent, seed, self.steps)
        if run not in self.runs:
            epochs = self.steps // len(self.task.split.train)
            begin = time.monotonic()
            found = self.twin(arm).run(2.0**exponent, epochs, seed, split)
            self.runs.add(run, found, time.monotonic() - begin)
            print(f"{self.task.name:12} {arm:13} {part:7} 2^{exponent:<4} seed {seed:<4} "
                  f"{100 * found:6.2f} %", flush=True)  # fmt: skip
        return self.runs[run]

    def measure(self, arm: str) -> None:
        """Find the learning rate of an arm, then measure it on the test samples."""
        tuning = self.task.tuning()
        exponent = best_rate(
            lambda e: float(np.mean([self.accuracy(arm, e, seed, tuning, "tuning")
                                     for seed in TUNING_SEEDS[:ARMS[arm].tuning_seeds]])),
            ARMS[arm].starts,
        )  # fmt: skip
        for seed in range(ARMS[arm].seeds):
            self.accuracy(arm, exponent, seed, self.task.split, "test")
        self.twin.cache_clear()


def measured(runs: Runs, task: str, arm: str, steps: int) -> tuple[float, float, int] | None:
    """Mean accuracy in %, its standard deviation, log2 of the rate; None before the last run."""

    def found(part: str) -> dict[tuple[int, int], float]:
        return {(run.exponent, run.seed): 100 * accuracy for run, accuracy in runs.items()
                if (run.task, run.arm, run.part, run.steps) == (task, arm, part, steps)}

    tuning, tests = found("tuning"), found("test")
    seeds = TUNING_SEEDS[:ARMS[arm].tuning_seeds]
    exponents = sorted({exponent for exponent, _ in tuning})
    means = {e: np.mean([tuning[e, seed] for seed in seeds]) for e in exponents
             if all((e, seed) in tuning for seed in seeds)}
    best = max(means, key=means.__getitem__, default=None)
    values = [tests[best, seed] for seed in range(ARMS[arm].seeds) if (best, seed) in tests]
    if best is None or len(values) < ARMS[arm].seeds:
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1)), best


def summary(graph: Graph, runs: Runs, steps: dict[str, int]) -> list[dict[str, Any]]:
    """For each arm its bytes and, by task, what `measured` returns."""
    rows = []
    for name, arm in ARMS.items():
        scheme = resolved(graph, arm.scheme)
        options = {k: arm.options[k] for k in ("wide", "gradient_bits") if k in arm.options}
        options["stream"] = E.STREAM_INPUT  # as a board trains; the bytes learned are the same
        row: dict[str, Any] = {
            "arm": name, "label": arm.label, "precision": arm.precision,
            "analytic_bytes": extra_bytes(graph, scheme),
            "total_ram_bytes": planned(graph, scheme, 10, **options).info.total_bytes,
            "tasks": {},
        }  # fmt: skip
        for task, count in steps.items():
            if result := measured(runs, task, name, count):
                row["tasks"][task] = result
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]], steps: dict[str, int]) -> str:
    """Markdown: accuracy on the test samples in %, mean ± standard deviation over the seeds, and
    the learning rate. Rows without any are left out."""
    headings = [f"{task}, {count:,} steps" for task, count in steps.items()]
    lines = [
        "| | analytic KiB | RAM bytes | " + " | ".join(headings) + " |",
        "|---|---|---|" + "---|" * len(steps),
    ]
    for row in rows:
        if not row["tasks"]:
            continue
        cells = [
            "{:.2f} ± {:.2f}, 2^{}".format(*row["tasks"][task]) if task in row["tasks"] else ""
            for task in steps
        ]
        ram = f"{row['total_ram_bytes']:,}" if row["precision"] == "int8" else ""
        lines.append(
            f"| {row['label']} | {row['analytic_bytes'] / 1024:.1f} | {ram} | "
            + " | ".join(cells) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    parser.add_argument("--results", type=Path, default=REPO / "build/bench/ablation.jsonl")
    parser.add_argument("--picture", type=Path, default=REPO / "build/bench/ablation.svg")
    options = parser.parse_args()
    graph = import_mcunet(backbones.SHARED / f"models_npz/{MODEL}.npz")
    options.results.parent.mkdir(parents=True, exist_ok=True)
    runs = Runs(options.results)
    for name in options.tasks:
        bench = Bench(graph, TASKS[name](), runs, STEPS[name])
        for arm in options.arms:
            bench.measure(arm)
    rows = summary(graph, runs, STEPS)
    print(f"{MODEL} at 128x128\n\n{table(rows, STEPS)}")
    from ablation_picture import draw  # matplotlib is large

    draw(rows, list(TASKS), options.picture)
    print(f"\nwrote {options.results} and {options.picture}")


if __name__ == "__main__":
    main()
