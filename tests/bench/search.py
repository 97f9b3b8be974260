"""Which layers to train, searched from measurements, beside the published schemes: hand signs.

`make bench-search` takes the recorded measurements, search.jsonl, and prints for the bytes of each
published scheme the best sum of gains, by how much evolution and random search miss it, and the
accuracies on held-out photos of three schemes: searched, published, pointwise expansions.
`--measure SEEDS` first measures what search.jsonl lacks (half an hour a seed); `--costs 2 4`
searches also with so many points taken from every share's gain; `--samples 0 --seeds 0` leaves out
the slow rest. Needs the reference folder. Writes build/bench/search.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(REPO / "host")]

import backbones  # noqa: E402
from tasks import Split, Task, signs  # noqa: E402
from transfer import IntegerTwin  # noqa: E402

from microtrain import dataset  # noqa: E402
from microtrain.dataset import Dataset  # noqa: E402
from microtrain.graph import Graph  # noqa: E402
from microtrain.link import open_device  # noqa: E402
from microtrain.run import TrainOptions  # noqa: E402
from microtrain.run.inputs import load_image  # noqa: E402
from microtrain.run.plan import plan as plan_scheme  # noqa: E402
from microtrain.scheme import Scheme, load_scheme  # noqa: E402
from microtrain.search.contributions import Analysis, Gains  # noqa: E402
from microtrain.search.evolution import Candidates, draw, evolve  # noqa: E402
from microtrain.search.executors import Processes  # noqa: E402
from microtrain.search.optimum import Optimum, optimum  # noqa: E402
from microtrain.search.planner import Planner  # noqa: E402
from microtrain.search.pointwise import pointwise  # noqa: E402
from microtrain.search.results import VERSION, Results  # noqa: E402
from microtrain.search.selection import RATIOS, Selection, layers  # noqa: E402

MODEL = "mcunet-5fps"
LABELS = ("49kb", "99kb")
ARMS = ("published", "searched", "pointwise")
MEASURED = HERE / "search.jsonl"
TRAIN = 700  # of the 1,000 photos; on the other 300 the search measures
BIASES = (3, 6, 9, 12, 15, 18, 20, 21, 22)  # the published 99kb scheme trains those of 22
EPOCHS, LR = 2, 2.0**-7
# log2 of the learning rates tried for each scheme, on the 300
GRID = (-8, -7, -6)
SEARCH_SEEDS = 1
MARKS = (1000, 5000)  # samples of evolution and random search that are reported


def seen(task: Task) -> Split:
    """What the search may see: the training photos, split."""
    return Split(task.split.train[:TRAIN], task.split.train[TRAIN:])


def files(task: Task, folder: Path) -> TrainOptions:
    """Model and data for the analysis, written to `folder`."""
    model = backbones.write_image(MODEL, folder)
    graph = load_image(model).graph
    source, split = graph.tensors[graph.input], seen(task)
    for name, rows in (("train", split.train), ("val", split.test)):
        labels = task.y[rows].astype(np.uint16)
        data = Dataset(task.x[rows], labels, source.scale, source.zero_point)
        dataset.write(data, folder / f"{name}.mtd")
    return TrainOptions(
        model, folder / "train.mtd", EPOCHS, val=folder / "val.mtd", lr=LR, schedule="halve",
        new_head=task.classes,
    )  # fmt: skip


def use_recorded(analysis: Analysis) -> None:
    """Give an analysis the measurements of MEASURED, taken as they are.

    Not compared with the model image: another version of its format changes its hash alone.
    """
    header = json.loads(MEASURED.read_text().partition("\n")[0])
    print(f"recorded measurements: {header}\n")
    assert header.pop("microtrain_search") == VERSION
    analysis.results = Results(MEASURED, header)


def print_noise(analysis: Analysis) -> None:
    """The standard deviation of a run over its seeds, pooled over what has several."""
    known: dict[Selection, list[float]] = {}
    for run, accuracy in analysis.results.accuracy.items():
        known.setdefault(run.selection, []).append(accuracy)
    several = [values for values in known.values() if len(values) > 1]
    print(f"{len(known)} selections, {len(several)} of them with several seeds")
    if several:
        deviation = np.sqrt(np.mean([np.var(values, ddof=1) for values in several]))
        print(f"standard deviation of a run over its seeds: {100 * deviation:.2f} points")


def print_gains(gains: Gains, graph: Graph) -> None:
    biases = "".join(f"  {k}: {100 * gain:+.2f}" for k, gain in gains.biases.items() if k)
    print(f"accuracy of the classifier alone: {gains.base:.1%}\ngains in points\n"
          f"biases of the last{biases}")  # fmt: skip
    print(f"\n{'weights':8} {'kind':22}" + "".join(f"{ratio:>8g}" for ratio in RATIOS))
    for name in dict.fromkeys(name for name, _ in gains.shares):
        op = graph.ops[graph.op_index(name)]
        kind = f"{op.kind.name.lower()} {op.kernel[0]}x{op.kernel[1]}"
        cells = "".join(f"{100 * gains.shares[name, ratio]:>+8.2f}" for ratio in RATIOS)
        print(f"{name:8} {kind:22}{cells}")


def published_selection(label: str) -> Selection:
    """A published scheme in the terms of the search."""
    config = json.loads(backbones.SCHEMES.read_text())[MODEL][label]
    chosen = zip(config["manual_weight_idx"], config["weight_update_ratio"], strict=True)
    return Selection(
        config["n_bias_update"], tuple((f"conv_{i}", float(r)) for i, r in chosen if r)
    )


def compare_searches(
    gains: Gains, names: list[str], plan: Planner, found: Optimum, budget: int, samples: int
) -> list[dict[str, Any]]:
    """Evolution and random search beside the optimum, printed at MARKS too."""
    rows = []
    for name, search in (("evolution", evolve), ("random", draw)):
        for seed in range(SEARCH_SEEDS):
            other = Candidates(gains, names, plan, budget, samples, lambda *call: None)
            search(other, seed)
            at = {mark: other.gain(mark) for mark in (*MARKS, samples) if mark <= samples}
            missed = (
                f"{100 * (found.gain - (gain or 0)):.2f} ({mark:,} samples)"
                for mark, gain in at.items()
            )
            print(f"  {name}, seed {seed}: misses it by {', '.join(missed)}", flush=True)
            rows.append({"search": name, "seed": seed, "gain_after_samples": at})
    return rows


def train(
    task: Task, graph: Graph, scheme: Scheme, epochs: int, seeds: int
) -> tuple[int, float, list[float]]:
    """log2 of the learning rate that is best on the 300, the accuracy there, and on the held-out
    photos."""
    twin = IntegerTwin(graph, scheme, task)
    known = {e: np.mean([twin.run(2.0**e, epochs, s, seen(task)) for s in range(4)]) for e in GRID}
    rate = max(known, key=known.__getitem__)
    results = [twin.run(2.0**rate, epochs, 100 + seed) for seed in range(seeds)]
    return rate, float(known[rate]), results


def text(selection: Selection) -> str:
    shares = ", ".join(f"{name} x {ratio:g}" for name, ratio in selection.shares)
    return f"biases {selection.biases}, weights {shares or 'none'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=int, metavar="SEEDS", help="measure what is missing")
    parser.add_argument("--samples", type=int, default=MARKS[-1])
    parser.add_argument("--epochs", type=int, nargs="+", default=[EPOCHS])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--labels", nargs="+", default=list(LABELS), choices=LABELS)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    parser.add_argument("--costs", type=float, nargs="*", default=[], metavar="POINTS",
                        help="search also with so many points taken from every share's gain")
    parser.add_argument("--out", type=Path, default=REPO / "build/bench/search.json")
    options = parser.parse_args()
    if not backbones.available():
        sys.exit(f"no reference folder {backbones.SHARED}")
    task, rows = signs(), []
    with tempfile.TemporaryDirectory() as name, open_device("virtual") as device:
        folder = Path(name)
        training = files(task, folder)
        path = MEASURED if options.measure else folder / "none.jsonl"
        analysis = Analysis(training, BIASES, options.measure or 1, path)
        if options.measure:
            analysis.measure(Processes(1), lambda done, of: print(f"{done}/{of}", flush=True))
        else:
            use_recorded(analysis)
        gains, graph = analysis.gains(), analysis.graph
        print_noise(analysis)
        print_gains(gains, graph)
        plan = Planner(device, training, folder)
        for label in options.labels:
            published = backbones.published()[MODEL][label]
            needs, _ = plan_scheme(device, training.model, published, new_head=task.classes)
            budget = needs["total_ram_bytes"]
            found = optimum(gains, layers(graph), plan, budget)
            proxy = pointwise(graph, plan, budget)
            bound = "proven" if found.proven else f"at most {100 * found.bound:+.2f}"
            authors = published_selection(label)
            assert plan(authors).total == budget
            print(f"\n{label}: {budget:,} bytes by our planner\n"
                  f"  published: {text(authors)}: {100 * gains.total(authors):+.2f} points\n"
                  f"  searched: {text(found.selection)}: {found.need.total:,} bytes, "
                  f"{100 * found.gain:+.2f} points ({bound})\n"
                  f"  pointwise: {text(proxy)}: {plan(proxy).total:,} bytes, "
                  f"{100 * gains.total(proxy):+.2f} points", flush=True)  # fmt: skip
            row: dict[str, Any] = {
                "label": label, "budget_bytes": budget, "gain": found.gain, "bound": found.bound,
                "searched": asdict(found.selection), "pointwise": asdict(proxy),
            }  # fmt: skip
            rows.append(row)
            if options.samples:
                row["searches"] = compare_searches(
                    gains, layers(graph), plan, found, budget, options.samples
                )
            schemes = {"published": load_scheme(published, graph)}
            for arm, selection in (("searched", found.selection), ("pointwise", proxy)):
                file = folder / f"{arm}.json"
                file.write_text(json.dumps(selection.scheme(graph, arm)))
                schemes[arm] = load_scheme(str(file), graph)
            arms = list(options.arms)
            for cost in options.costs:
                arms.append(arm := f"searched at {cost:g} points a share")
                fewer = optimum(gains.less(cost / 100), layers(graph), plan, budget)
                print(f"  {arm}: {text(fewer.selection)}: {fewer.need.total:,} bytes, "
                      f"{100 * gains.total(fewer.selection):+.2f} points", flush=True)  # fmt: skip
                file = folder / "fewer.json"
                file.write_text(json.dumps(fewer.selection.scheme(graph, arm)))
                schemes[arm] = load_scheme(str(file), graph)
            row["accuracy"] = []
            for epochs in options.epochs if options.seeds else ():
                for arm in arms:
                    rate, known, results = train(task, graph, schemes[arm], epochs, options.seeds)
                    deviation = np.std(results, ddof=1)
                    print(f"  {arm}, {epochs} epochs, lr 2^{rate}: {100 * known:.2f} % of the 300 "
                          f"seen, held-out accuracy {100 * np.mean(results):.2f} % ± "
                          f"{100 * deviation:.2f} (sd of {len(results)} seeds)",
                          flush=True)  # fmt: skip
                    row["accuracy"].append(
                        {"scheme": arm, "epochs": epochs, "lr": 2.0**rate, "seen": known,
                         "accuracy": results}
                    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
