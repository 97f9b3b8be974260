"""`microtrain train`: train a network on a board."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import click

from microtrain.cli.common import (
    FILE,
    OUTPUT,
    cores_option,
    gradient_bits_option,
    json_option,
    momentum_bits_option,
    open_port,
    port_option,
    progress_bar,
)
from microtrain.cli.run_events import log_event, shown
from microtrain.run.board import Event
from microtrain.run.boot import resume_at_boot
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
@cores_option
@click.option("--stream", is_flag=True, help="The data stays on this machine, and the board gets "
              "each sample when it needs it: for data that does not fit its storage.")
@click.option("--autosave", type=click.FloatRange(0), default=60.0, show_default=True,
              metavar="SECONDS", help="Between two checkpoints on the board, from which the run "
              "goes on after a reset; 0: none.")
@click.option("--detach", is_flag=True, help="Return once training has begun; `microtrain attach` "
              "follows it.")
@click.option("--unattended", is_flag=True, help="The board goes on by itself after a reset: "
              "writes a main.py for that.")
@click.option("--log", type=OUTPUT, help="Write all events as JSON lines.")
@click.option("--plot", type=OUTPUT, help="Draw loss and accuracy (.png, .svg, .pdf).")
@json_option
def command(
    port: str, log: Path | None, plot: Path | None, as_json: bool, detach: bool, unattended: bool,
    **options: object,
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
        if unattended:
            resume_at_boot(device)
        if detach:
            training.start()
            device.detach()
            click.echo(f"training: `microtrain attach --port {port}` follows it", err=True)
            return
        show = stack.enter_context(shown(as_json, chosen.data.stem, training.total_steps))

        def take(event: Event) -> None:
            events.append(event)
            log_event(file, event)
            show(event)

        result = training.run(take)
    if plot:
        from microtrain.run.plot import draw

        draw(events, f"{chosen.model.stem} learns {chosen.data.stem}", plot)
    if result.interrupted:
        raise KeyboardInterrupt
