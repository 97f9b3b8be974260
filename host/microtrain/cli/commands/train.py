"""`microtrain train`: train a network on a board."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from microtrain.cli.common import (
    FILE,
    OUTPUT,
    gradient_bits_option,
    json_option,
    momentum_bits_option,
    open_port,
    port_option,
    print_json,
    progress_bar,
)
from microtrain.run.board import Event, OnEvent
from microtrain.run.train import (
    AUGMENTATIONS,
    LOSSES,
    SCHEDULES,
    STEP_SCHEDULE,
    Training,
    TrainOptions,
)


def _schedule(_: click.Context, __: click.Parameter, text: str) -> str:
    if text not in SCHEDULES and not re.fullmatch(r"step=(0?\.\d+|1)@\d+(,\d+)*", text):
        known = ", ".join(SCHEDULES)
        raise click.BadParameter(f"'{text}' is not one of {known}, {STEP_SCHEDULE}.")
    return text


def _augment(_: click.Context, __: click.Parameter, text: str) -> dict[str, int]:
    """Of "flip,shift=4": {"flip": 1, "shift": 4}."""
    found: dict[str, int] = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if name == "flip" and not equals:
            value = "1"
        most = AUGMENTATIONS.get(name, -1)
        if not value.isdecimal() or int(value) > most:
            known = ", ".join(f"{name}=0-{most}" for name, most in AUGMENTATIONS.items())
            raise click.BadParameter(f"'{item}' is not one of {known}.")
        found[name] = int(value)
    return found


@click.command()
@port_option
@click.option("--model", type=FILE, required=True, help="Model image (.mtm).")
@click.option("--data", type=FILE, required=True, help="Data file (.mtd), or .npz with x, y.")
@click.option("--val", type=FILE, help="Data to measure on, before, between epochs and after.")
@click.option("--scheme", help="What is trained: last, last-K, bias, full, a scheme file, or "
              "FILE.json#MODEL/NAME  [default: the checkpoint's, else last]")
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--lr", type=click.FloatRange(0, 2**31, max_open=True), help="Learning rate, "
              "as in PyTorch at batch 1  [default: the checkpoint's, else 0.03]")
@click.option("--schedule", metavar="NAME", default="constant", show_default=True,
              callback=_schedule, help="How the rate falls: linear or cosine to 0; halve at 50, "
              "70, 85 and 95 % of the steps; step=0.1@50,75 to a tenth at 50 and at 75 %.")
@click.option("--warmup", type=click.IntRange(0), default=0, metavar="STEPS",
              help="First steps, in which the rate rises from 0; the schedule follows.")
@click.option("--loss", type=click.Choice(LOSSES),
              help="[default: the checkpoint's, else cross_entropy]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Order of samples, rounding of "
              "weights  [default: the checkpoint's, else 1]")
@click.option("--new-head", type=click.IntRange(2, 65535),
              help="Replace the classifier by a new one with this many classes.")
@click.option("--wide", is_flag=True, help="8 more bits, one byte, for every trained weight: "
              "closer to fp32. The classifier has them anyway.")
@gradient_bits_option(None)
@click.option("--checkpoint", type=FILE, help="What an earlier run learned (.mtc): go on.")
@click.option("--save", type=OUTPUT, help="Write what was learned (.mtc).")
@click.option("--val-every", type=click.IntRange(0), default=1, show_default=True,
              help="Epochs between measurements on --val; 0: only before and after.")
@click.option("--patience", type=click.IntRange(0), default=0, metavar="EPOCHS", help="End after "
              "this many in a row without a better accuracy (or loss) on --val; 0: never.")
@click.option("--keep-best", is_flag=True, help="What remains is the best epoch by --val: takes "
              "a copy of the trained state in the board's memory.")
@click.option("--augment", metavar="CHANGES", default="", callback=_augment, help="Change every "
              "training sample at random: flip,shift=4,brightness=16,cutout=8 (mirror; most "
              "pixels; most int8 units; side in pixels), any of these.")
@click.option("--momentum", type=click.FloatRange(0, 1, max_open=True), help="As in PyTorch: "
              "v = momentum · v + g, w -= lr · v  [default: the checkpoint's, else 0]")
@click.option("--weight-decay", type=click.FloatRange(0, 2**31, max_open=True), help="As in "
              "PyTorch, of every trained parameter  [default: the checkpoint's, else 0]")
@click.option("--accumulate", type=click.IntRange(1, 65535), metavar="SAMPLES", help="One update "
              "with the mean gradient of this many  [default: the checkpoint's, else 1]")
@momentum_bits_option
@click.option("--qas/--no-qas", default=None, help="Quantisation-aware scaling of the updates; "
              "without it, SGD on the integers as they are, for comparison  [default: the "
              "checkpoint's, else on]")
@click.option("--log", type=OUTPUT, help="Write all events as JSON lines.")
@click.option("--plot", type=OUTPUT, help="Draw loss and accuracy (.png, .svg, .pdf).")
@json_option
def command(
    port: str, log: Path | None, plot: Path | None, as_json: bool, **options: object
) -> None:
    """Train on the board, in its own integers, one sample at a time.

    Ctrl-C stops between two samples; what was learned is measured and saved all the same.

    Example: microtrain train --model net.mtm --data photos.mtd --new-head 4 --epochs 5 --lr 0.06
    """
    chosen = TrainOptions(**options)  # type: ignore[arg-type]
    events: list[Event] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("w")) if log else None
        device = stack.enter_context(open_port(port))
        with progress_bar("upload") as progress:
            training = Training(device, chosen, progress)
        show = stack.enter_context(_json() if as_json else _text(chosen, training.total_steps))

        def take(event: Event) -> None:
            events.append(event)
            _log(file, event)
            show(event)

        result = training.run(take)
    if plot:
        from microtrain.run.plot import draw

        draw(events, f"{chosen.model.stem} learns {chosen.data.stem}", plot)
    if result.interrupted:
        raise KeyboardInterrupt


def _log(file: TextIO | None, event: Event) -> None:
    if file is not None:
        file.write(json.dumps(event) + "\n")
        file.flush()


@contextlib.contextmanager
def _json() -> Iterator[OnEvent]:
    yield print_json


@contextlib.contextmanager
def _text(options: TrainOptions, total_steps: int) -> Iterator[OnEvent]:
    """A line an epoch, and a bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda event: _print(event, click.echo)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[now]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(options.data.stem, total=total_steps, now="")

        def take(event: Event) -> None:
            if event["event"] == "step":
                bar.update(task, advance=event["samples"], now=f"loss {event['loss']:.3f}")
            else:
                _print(event, bar.console.print if sys.stdout.isatty() else click.echo)

        yield take


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _print(event: Event, echo: OnEvent) -> None:
    match event["event"]:
        case "epoch":
            text = f"epoch {event['epoch']}: loss {event['train_loss']:.4f}"
            if event["train_accuracy"] is not None:
                text += f", accuracy {event['train_accuracy']:.1%}"
            echo(f"{text}, {event['samples_per_s']:,.0f} samples/s")  # type: ignore[arg-type]
        case "eval":
            accuracy = event["accuracy"]
            score = f"loss {event['loss']:.4f}" if accuracy is None else f"{accuracy:.1%}"
            echo(f"  validation, epoch {event['epoch']}: {score}")  # type: ignore[arg-type]
        case "best":
            kept = f", kept in {event['state_bytes']:,} bytes" if event["kept"] else ""
            echo(f"best: epoch {event['epoch']}{kept}")  # type: ignore[arg-type]
        case "done":
            text = f"{event['steps']:,} steps"
            if event["val_accuracy_after"] is not None:
                before, after = event["val_accuracy_before"], event["val_accuracy_after"]
                text = f"accuracy {_percent(before)} -> {_percent(after)} in {text}"
            if event["samples_per_s"]:
                text += f", {event['samples_per_s']:,.0f} samples/s"
            echo(f"{text}, {event['total_ram_bytes']:,} bytes of RAM")  # type: ignore[arg-type]
