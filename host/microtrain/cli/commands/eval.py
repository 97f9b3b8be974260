"""`microtrain eval`: how good a network is, measured on a board."""

from __future__ import annotations

import io
from pathlib import Path

import click
import numpy as np

from microtrain.cli.common import (
    FILE,
    OUTPUT,
    json_option,
    open_port,
    port_option,
    print_json,
    progress_bar,
)
from microtrain.errors import MicrotrainError
from microtrain.files import write_atomically
from microtrain.run.evaluate import Evaluation, evaluate

MATRIX_MAX = 20  # classes; a larger confusion matrix is shown as a list
LIST_MAX = 10


@click.command()
@port_option
@click.option("--model", type=FILE, required=True, help="Model image (.mtm).")
@click.option("--data", type=FILE, required=True, help="Data file (.mtd), or .npz with x, y.")
@click.option("--checkpoint", type=FILE, help="What was trained (.mtc). Without it the model "
              "runs exactly as imported.")
@click.option("--outputs", type=OUTPUT,
              help="Write the raw outputs as .npy, one row a sample: int8, or with a checkpoint "
              "int32 logits with 16 fraction bits.")
@json_option
def command(
    port: str, model: Path, data: Path, checkpoint: Path | None, outputs: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Run the network on the board over all samples of DATA: accuracy and confusion.

    Example: microtrain eval --model net.mtm --checkpoint net.mtc --data test.mtd
    """
    with open_port(port) as device, progress_bar(data.name, unit_bytes=False) as progress:
        found = evaluate(
            device, model, data, checkpoint=checkpoint, outputs=outputs is not None,
            progress=progress,
        )  # fmt: skip
    if outputs is not None and found.outputs is not None:
        stream = io.BytesIO()
        np.save(stream, found.outputs)
        try:
            write_atomically(outputs, stream.getvalue())
        except OSError as error:
            raise MicrotrainError(f"{outputs}: {error.strerror}") from error
    if as_json:
        confusion = None if found.confusion is None else found.confusion.tolist()
        print_json(
            {"accuracy": found.accuracy, "samples": found.samples, "confusion": confusion}
        )
    else:
        _print(found)


def _print(found: Evaluation) -> None:
    speed = f"{found.samples} samples, {found.samples_per_s:,.0f} a second"
    if found.accuracy is None or found.confusion is None:
        click.echo(f"{speed}; the labels are not classes, so there is no accuracy")
        return
    click.echo(f"accuracy {found.accuracy:.2%} ({speed})")
    confusion = found.confusion
    names = [str(i) for i in range(len(confusion))]
    for i, name in enumerate(found.class_names or []):
        if i < len(names):
            names[i] = name
    if len(names) <= MATRIX_MAX:
        width = max(5, *(len(name) + 2 for name in names))
        click.echo(f"rows: true class, columns: predicted\n{'':{width}}"
                   + "".join(f"{i:>6}" for i in range(len(names))))  # fmt: skip
        for name, row in zip(names, confusion, strict=True):
            click.echo(f"{name:>{width}}" + "".join(f"{n or '.':>6}" for n in row))
        return
    wrong = confusion - np.diag(np.diag(confusion))
    click.echo("most frequent mistakes:")
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:LIST_MAX]:
        true, predicted = divmod(int(flat), len(names))
        if wrong[true, predicted]:
            click.echo(f"{wrong[true, predicted]:6} x {names[true]} taken for {names[predicted]}")
