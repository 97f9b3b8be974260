"""`make demo`: a watch meets two people whom its network has never seen, and learns.

The network (watch_cnn.onnx) was trained on eight people. For each of the two others the virtual
board gets six seconds of each exercise with each arm, trains with three update schemes, and is
measured on the rest of that person's recordings, which share no sample with what it learned from.

Writes build/demo/metrics.jsonl and build/demo/training.png.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from command import OUT, CommandError, lines, result
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from registry import DataError
from seglearn_watch import RATE_HZ, STEP, SUBJECTS, WINDOW, dataset, recordings, split_in_time

HERE = Path(__file__).resolve().parent
# Scheme and learning rate. The rates are the best on two other people, in float: watch_float.py.
SCHEMES: dict[str, tuple[object, float]] = {
    "last": ("last", 2.0**-4),
    "bias": ("bias", 2.0**-4),
    "sparse": (HERE / "watch_sparse.json", 2.0**-5),
}
HEAD_WINDOWS = 5  # of each recording are learned from
EPOCHS = 8
SCHEDULE = "linear"
SEED = 0
CALIBRATION_WINDOWS = 512


def write_npz(path: Path, x: Any, y: Any) -> Path:
    np.savez(path, x=x, y=y)
    return path


def make_image(held_out: list[int]) -> Path:
    """Quantise the network; calibration takes windows of the people it was trained on only."""
    x, y = dataset(recordings(tuple(s for s in SUBJECTS if s not in held_out)))
    chosen = np.random.default_rng(SEED).choice(len(x), CALIBRATION_WINDOWS, replace=False)
    calibration = write_npz(OUT / "calibration.npz", x[chosen], y[chosen])
    image = OUT / "watch_cnn.mtm"
    result("import", HERE / "watch_cnn.onnx", "--calib", calibration, "-o", image)
    return image


def personalise(console: Console, image: Path, held_out: list[int]) -> list[dict[str, Any]]:
    """Train for every person with every scheme; all events go to metrics.jsonl, tagged."""
    runs = []
    progress = Progress(TextColumn("{task.description}"), BarColumn(),
                        TextColumn("{task.fields[now]}"), TimeElapsedColumn(), console=console,
                        disable=not console.is_terminal)
    with (OUT / "metrics.jsonl").open("w") as log, progress:
        for person in held_out:
            head, rest = split_in_time(recordings((person,)), HEAD_WINDOWS)
            x, y = dataset(head)
            train = write_npz(OUT / f"person{person}_train.npz", x, y)
            test = write_npz(OUT / f"person{person}_test.npz", *dataset(rest))
            for name, (scheme, lr) in SCHEMES.items():
                task = progress.add_task(f"person {person}, {name}", total=EPOCHS * len(x), now="")
                events: list[dict[str, Any]] = []
                for event in lines("train", "--port", "virtual", "--model", image, "--data", train,
                                   "--val", test, "--scheme", scheme, "--epochs", EPOCHS,
                                   "--lr", lr, "--schedule", SCHEDULE, "--seed", SEED):
                    log.write(json.dumps({"person": person, "scheme": name, **event}) + "\n")
                    events.append(event)
                    if event["event"] == "step":
                        progress.update(task, completed=event["step"],
                                        now=f"loss {event['loss']:.3f}")
                runs.append({"person": person, "scheme": name, "events": events, **events[-1]})
                progress.update(task, now=f"{runs[-1]['val_accuracy_before']:.3f} -> "
                                          f"{runs[-1]['val_accuracy_after']:.3f}")
    return runs


def show(console: Console, runs: list[dict[str, Any]]) -> None:
    seconds = (WINDOW + (HEAD_WINDOWS - 1) * STEP) / RATE_HZ
    table = Table(title=f"Two people the network has never seen, {seconds:.0f} seconds of each "
                        "exercise and arm; accuracy on the rest")
    for heading in ("person", "scheme"):
        table.add_column(heading)
    for heading in ("before", "after", "RAM (bytes)", "samples/s"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(str(run["person"]), run["scheme"], f"{run['val_accuracy_before']:.1%}",
                      f"{run['val_accuracy_after']:.1%}", f"{run['total_ram_bytes']:,}",
                      f"{run['samples_per_s']:,.0f}",
                      end_section=run["scheme"] == list(SCHEMES)[-1])
    for name in SCHEMES:
        mine = [run for run in runs if run["scheme"] == name]
        before, after, speed = (float(np.mean([run[key] for run in mine])) for key in
                                ("val_accuracy_before", "val_accuracy_after", "samples_per_s"))
        table.add_row("mean", name, f"{before:.1%}", f"[bold]{after:.1%}[/bold]",
                      f"{mine[0]['total_ram_bytes']:,}", f"{speed:,.0f}")
    console.print(table)


def main() -> None:
    console = Console()
    OUT.mkdir(parents=True, exist_ok=True)
    held_out = json.loads((HERE / "watch_cnn.json").read_text())["held_out"]
    try:
        runs = personalise(console, make_image(held_out), held_out)
    except (DataError, CommandError) as error:
        sys.exit(f"demo: {error}")
    show(console, runs)
    from picture import draw  # imported late: matplotlib takes half a second

    draw(runs, OUT / "training.png")
    console.print(f"wrote {OUT / 'metrics.jsonl'} and {OUT / 'training.png'}")


if __name__ == "__main__":
    main()
