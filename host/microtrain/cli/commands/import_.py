"""`microtrain import`: a model of another format to a model image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from microtrain import image
from microtrain.cli.common import FILE, OUTPUT, json_option, print_json
from microtrain.errors import ConversionError
from microtrain.graph import Graph
from microtrain.importers import import_model


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=OUTPUT, required=True,
              help="The model image to write (.mtm).")
@click.option("--calib", type=FILE, help="Calibration samples for a float .onnx: an .npz with a "
              "float array x in the model's real units, channels last.")
@click.option("--range", "method", type=click.Choice(["minmax", "percentile", "mse"]),
              default="minmax", show_default=True,
              help="How the range of an activation follows from the calibration samples.")
@click.option("--percentile", type=click.FloatRange(50, 100), default=99.99, show_default=True,
              help="Share of values that --range percentile keeps.")
@click.option("--resolution", type=click.IntRange(8, 1024),
              help="Input height and width in pixels, for MCUNet backbones (.npz).")
@click.option("--labels", type=FILE, help="Text file with the name of one class a line.")
@json_option
def command(
    model: Path, output: Path, calib: Path | None, method: str, percentile: float,
    resolution: int | None, labels: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Convert MODEL (.tflite int8, .onnx float or quantised, MCUNet .npz) to a model image.

    Example: microtrain import net.onnx --calib samples.npz -o net.mtm
    """
    graph = _imported(model, calib, method, percentile, resolution)
    if labels is not None:
        graph.metadata["labels"] = labels.read_text(encoding="utf-8").split("\n")
        while graph.metadata["labels"] and not graph.metadata["labels"][-1]:
            graph.metadata["labels"].pop()
    data = image.write(graph, output)
    sha256 = hashlib.sha256(data).hexdigest()
    if as_json:
        print_json({
            "image": str(output), "bytes": len(data), "sha256": sha256,
            "operators": len(graph.ops), "parameters": graph.parameters(), "notes": graph.notes,
        })
        return
    for note in graph.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(
        f"{output}: {len(data)} bytes, {len(graph.ops)} operators, {graph.parameters()} parameters"
    )


def _imported(
    model: Path, calib: Path | None, method: str, percentile: float, resolution: int | None
) -> Graph:
    if model.suffix == ".onnx":
        from microtrain.importers.onnx import import_onnx, load_calibration

        samples = None if calib is None else load_calibration(calib)
        return import_onnx(model, samples, method, percentile)  # type: ignore[arg-type]
    if calib is not None:
        raise ConversionError(f"--calib is for float .onnx models, {model.name} is quantised")
    if resolution is not None:
        if model.suffix != ".npz":
            raise ConversionError("--resolution is for MCUNet backbones (.npz) only")
        from microtrain.importers.mcunet import import_mcunet

        return import_mcunet(model, resolution)
    return import_model(model)
