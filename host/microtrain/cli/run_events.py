"""Showing what a training run reports."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from microtrain.cli.common import print_json
from microtrain.run.board import Event, OnEvent


def log_event(file: TextIO | None, event: Event) -> None:
    if file is not None:
        file.write(json.dumps(event) + "\n")
        file.flush()


@contextlib.contextmanager
def shown(as_json: bool, title: str, total_steps: int | None = None) -> Iterator[OnEvent]:
    """A function that shows events: a line an epoch, and a bar on a terminal; or as JSON."""
    if as_json:
        yield print_json
        return
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
        task = bar.add_task(title, total=total_steps, now="")

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
        case "resumed":
            echo(f"resumed at step {event['step']:,}")  # type: ignore[arg-type]
        case "log":
            click.echo(event["text"], err=True)
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
