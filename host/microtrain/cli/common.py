"""What commands share: options, output, progress."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from microtrain.link.board_process import REPO
from microtrain.link.transport import Device, Progress
from microtrain.run.train import CORES, GRADIENT_BITS, MOMENTUM_BITS

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
port_option = click.option(
    "--port",
    default="virtual",
    show_default=True,
    help="Serial port of the board; virtual, emu:rp2040 or qemu:...: a board in software.",
)


def gradient_bits_option(default: int | None) -> Callable[[Any], Any]:
    """The option --gradient-bits; None leaves the choice to the checkpoint."""
    return click.option(
        "--gradient-bits", type=click.Choice(GRADIENT_BITS), default=default,
        help="Of a gradient: 12, in two bytes, where it passes dozens of operators  [default: "
        + ("8]" if default else "the checkpoint's, else 8]"),
    )  # fmt: skip


cores_option = click.option(
    "--cores", type=click.Choice(CORES), default=1, show_default=True,
    help="2: both cores of an RP2040 or RP2350: the same bytes in less time, for more RAM.",
)  # fmt: skip
momentum_bits_option = click.option(
    "--momentum-bits", type=click.Choice(MOMENTUM_BITS),
    help="Of every trained parameter's velocity, which --momentum and --accumulate need  "
    "[default of train: the checkpoint's, else 16 where one of them is given]",
)  # fmt: skip


def board_folder(port: str) -> Path:
    """Return the folder that keeps the files of a board in software from command to command.

    The environment variable MICROTRAIN_BOARD_FOLDER overrides it.
    """
    override = os.environ.get("MICROTRAIN_BOARD_FOLDER")
    name = "virtual" if port.startswith("virtual") else port.replace(":", "-")
    return Path(override) if override else REPO / "build" / "boards" / name


def open_port(port: str, *, attach: bool = False) -> Device:
    """Open the board that `--port` names; attach: and do nothing to it. Raises DeviceError."""
    from microtrain.link.ports import open_device

    device = open_device(port, folder=board_folder(port), attach=attach)
    device.on_text = lambda text: click.echo(text, err=True, nl=False)
    device.on_notice = lambda text: click.echo(text, err=True)
    return device


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Print one JSON value on a line of its own, at once."""
    click.echo(json.dumps(value))
    sys.stdout.flush()


@contextlib.contextmanager
def progress_bar(label: str, *, unit_bytes: bool = True) -> Iterator[Progress]:
    """Give a function of (done, total) that draws a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    amount = DownloadColumn() if unit_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


