"""`microtrain attach`: follow the run of a board that goes on by itself."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from microtrain.cli.common import FILE, OUTPUT, json_option, open_port, port_option
from microtrain.cli.run_events import log_event, shown
from microtrain.errors import DataError
from microtrain.run.board import Event
from microtrain.run.inputs import load_data, load_image
from microtrain.run.train import attach


@click.command()
@port_option
@click.option("--stop", is_flag=True, help="End the run at the next sample; what was learned is "
              "measured and saved.")
@click.option("--lr", type=click.FloatRange(0, 2**31, max_open=True),
              help="Go on with this learning rate.")
@click.option("--pause", is_flag=True, help="Hold the run and return.")
@click.option("--save", type=OUTPUT, help="Write what was learned (.mtc); the run must have been "
              "begun with --save.")
@click.option("--model", type=FILE, help="Where the run streams its data: the model image,")
@click.option("--data", type=FILE, help="the data,")
@click.option("--val", type=FILE, help="and the data to measure on.")
@click.option("--log", type=OUTPUT, help="Write all events as JSON lines.")
@json_option
def command(
    port: str, stop: bool, lr: float | None, pause: bool, save: Path | None, model: Path | None,
    data: Path | None, val: Path | None, log: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Follow the training that goes on on the board: begun with `train --detach`, left when its
    host went away, or ended by a reset, after which it goes on from its last checkpoint.

    A run that was held goes on. Ctrl-C leaves it again.

    Example: microtrain attach --port /dev/ttyACM0 --save flowers.mtc
    """
    if data and not model:
        raise DataError("--data is quantised for a model: give --model too")
    streamed = []
    if model:
        graph = load_image(model).graph
        streamed = [load_data(path, graph) for path in (data, val) if path]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("w")) if log else None
        device = stack.enter_context(open_port(port, attach=True))
        control: dict[str, object] = {"stop" if stop else "pause" if pause else "resume": True}
        if lr is not None:
            control["lr"] = lr
        show = stack.enter_context(shown(as_json, port))

        def take(event: Event) -> None:
            log_event(file, event)
            show(event)

        try:
            attach(device, take, streamed, save, control)
        except KeyboardInterrupt:
            device.detach()
            raise
        if pause:
            device.detach()
