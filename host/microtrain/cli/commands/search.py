"""`microtrain search`: which layers to train in a budget of RAM."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from microtrain.cli.common import (
    FILE,
    OUTPUT,
    gradient_bits_option,
    json_option,
    open_port,
    print_json,
    progress_bar,
)
from microtrain.files import write_atomically
from microtrain.run.train import SCHEDULES, TrainOptions
from microtrain.search.contributions import Analysis, Gains
from microtrain.search.evolution import Candidates, draw, evolve
from microtrain.search.executors import Processes
from microtrain.search.optimum import Optimum, Plan, optimum
from microtrain.search.planner import Planner
from microtrain.search.pointwise import pointwise
from microtrain.search.ray_cluster import RayCluster
from microtrain.search.selection import RATIOS, Selection, layers

SEED = 0  # of evolution and random search


@click.command()
@click.option("--model", type=FILE, required=True, help="Model image (.mtm).")
@click.option("--data", type=FILE, required=True, help="Data file (.mtd), or .npz with x, y.")
@click.option("--val", type=FILE, required=True, help="Data to measure accuracy on.")
@click.option("--budget", type=click.IntRange(1), required=True, help="Bytes of RAM.")
@click.option("--results", type=OUTPUT, required=True,
              help="Measurements as JSON lines; what the file has is not measured again.")
@click.option("--out", type=OUTPUT, help="Write the scheme found, for `train --scheme`.")
@click.option("--biases", default="all", show_default=True, metavar="K,K,...",
              help="Numbers of last layers whose biases are trained, to choose from.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True,
              help="Runs of each, to take the mean of.")
@click.option("--jobs", type=click.IntRange(1),
              help="Virtual boards that measure at a time  [default: 1; all CPUs of --ray]")
@click.option("--ray", metavar="ADDRESS",
              help="Measure on the Ray cluster at HOST:PORT; local: Ray on this machine.")
@click.option("--evolution", type=click.IntRange(1), metavar="SAMPLES",
              help="Say by how much evolution and random search miss the sum found.")
@click.option("--share-cost", type=click.FloatRange(0), default=0.0, metavar="POINTS",
              show_default=True, help="What a layer's share must bring before it counts.")
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--lr", type=click.FloatRange(0, 1024), help="Learning rate  [default: 0.03]")
@click.option("--schedule", type=click.Choice(SCHEDULES), default="constant", show_default=True)
@click.option("--new-head", type=click.IntRange(2, 65535), help="Classes of a new classifier.")
@click.option("--wide", is_flag=True, help="One more byte for every trained weight.")
@gradient_bits_option(8)
@json_option
def command(
    budget: int, results: Path, out: Path | None, biases: str, seeds: int,
    jobs: int | None, ray: str | None, evolution: int | None, share_cost: float, as_json: bool,
    **options: object,
) -> None:  # fmt: skip
    """Measure what each layer adds to the accuracy, and choose the best sum in --budget.

    Biases of the last K layers are measured over the classifier alone, weights of each layer (1/8,
    1/4, 1/2, all of its input channels) over the biases of the largest K. Sums are taken as if
    gains added up; bytes are the planner's. Go on after Ctrl-C with the same command.

    Example: microtrain search --model net.mtm --data train.mtd --val val.mtd --budget 137216
    --results net.jsonl --out scheme.json
    """
    training = TrainOptions(**options)  # type: ignore[arg-type]
    analysis = Analysis(training, _numbers(biases, training.model), seeds, results)
    with progress_bar("measure", unit_bytes=False) as progress:
        executor = RayCluster(ray, jobs) if ray else Processes(jobs or 1)
        analysis.measure(executor, progress)
    measured, graph = analysis.gains(), analysis.graph
    gains = measured.less(share_cost / 100)
    with open_port("virtual") as device, tempfile.TemporaryDirectory() as folder:
        plan = Planner(device, training, Path(folder))
        found = optimum(gains, layers(graph), plan, budget)
        proxy = pointwise(graph, plan, budget)
        others = _others(gains, layers(graph), plan, budget, evolution) if evolution else {}
        scheme = found.selection.scheme(graph, f"{training.model.stem}-{budget}")
        if out is not None:
            write_atomically(out, (json.dumps(scheme, indent=1) + "\n").encode())
        if as_json:
            print_json(_values(measured, found, plan, proxy, scheme, others))
        else:
            _print(measured, found, plan, proxy, share_cost)
            for name, other in others.items():
                _print_other(name, other, found)


def _numbers(text: str, model: Path) -> list[int]:
    if text == "all":
        from microtrain.run.inputs import load_image

        return list(range(1, len(layers(load_image(model).graph)) + 1))
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list like 4,8,12"
        raise click.BadParameter(message, param_hint="--biases") from None


def _others(
    gains: Gains, names: list[str], plan: Plan, budget: int, samples: int
) -> dict[str, Candidates]:
    found = {}
    for name, search in (("evolution", evolve), ("random", draw)):
        with progress_bar(name, unit_bytes=False) as progress:
            found[name] = Candidates(gains, names, plan, budget, samples, progress)
            search(found[name], SEED)
    return found


def _values(
    gains: Gains, found: Optimum, plan: Plan, proxy: Selection, scheme: dict[str, object],
    others: dict[str, Candidates],
) -> dict[str, object]:
    return {
        "base_accuracy": gains.base,
        "bias_gains": gains.biases,
        "weight_gains": [[*share, gain] for share, gain in gains.shares.items()],
        "scheme": scheme,
        "gain": found.gain,
        "proven": found.proven,
        "total_ram_bytes": found.need.total,
        "pointwise": {
            "biases": proxy.biases, "shares": proxy.shares, "total_ram_bytes": plan(proxy).total
        },
    } | {
        name: {
            "samples": other.most, "gain": other.gain(other.most), "found": other.found,
            "selection": other.best and asdict(other.best),
        } for name, other in others.items()
    }  # fmt: skip


def _print(
    gains: Gains, found: Optimum, plan: Plan, proxy: Selection, share_cost: float
) -> None:
    click.echo(f"classifier alone: {gains.base:.1%}\n\n  biases of the last   gain in points")
    for k, gain in gains.biases.items():
        if k:
            click.echo(f"  {k:>18}  {100 * gain:>+15.2f}")
    names = list(dict.fromkeys(name for name, _ in gains.shares))
    width = max((len(name) for name in names), default=8)
    heads = "".join(f"{f'{ratio:g}':>9}" for ratio in RATIOS)
    click.echo(f"\n  {'weights':{width}}{heads}")
    for name in names:
        row = (gains.shares.get((name, ratio)) for ratio in RATIOS)
        cells = "".join(f"{'-' if x is None else f'{100 * x:+.2f}':>9}" for x in row)
        click.echo(f"  {name:{width}}{cells}")
    proof = (
        "the largest sum that fits"
        if found.proven
        else f"not proven: at most {100 * found.bound:+.2f} could fit"
    )
    less = f" less {share_cost:g} a share" if share_cost else ""
    click.echo(f"\nfound: {_text(found.selection)}: {found.need.total:,} bytes of RAM, "
               f"{100 * found.gain:+.2f} points{less} if gains add up ({proof})")  # fmt: skip
    click.echo(f"pointwise expansions: {_text(proxy)}: {plan(proxy).total:,} bytes")


def _print_other(name: str, other: Candidates, found: Optimum) -> None:
    gain = other.gain(other.most)
    result = (
        "no sample fits"
        if gain is None
        else f"{100 * gain:+.2f} points, {100 * (found.gain - gain):.2f} below the sum found"
    )
    click.echo(f"{name}, {other.most:,} samples: {result}")


def _text(selection: Selection) -> str:
    shares = ", ".join(f"{name} x {ratio:g}" for name, ratio in selection.shares)
    return f"biases of the last {selection.biases}, weights of {shares or 'none'}"
