"""`microtrain data`: arrays, images or CSV recordings to a data file."""

from __future__ import annotations

from pathlib import Path

import click

from microtrain import dataset, image
from microtrain.cli.common import FILE, OUTPUT, json_option, print_json, progress_bar
from microtrain.data_sources import Target, from_csv, from_images, from_npz
from microtrain.dataset import Dataset
from microtrain.errors import DataError


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=OUTPUT, required=True,
              help="The data file to write (.mtd).")
@click.option("--model", type=FILE,
              help="Model image whose input shape and quantisation the samples get.")
@click.option("--scale", type=float, help="Without --model: real value of one step.")
@click.option("--zero-point", type=click.IntRange(-128, 127), help="Without --model.")
@click.option("--label-column", default="label", show_default=True, help="CSV: column of classes.")
@click.option("--columns", help="CSV: columns of the signal, separated by commas "
              "[default: all but the label].")
@click.option("--window", type=int, help="CSV: rows in one sample [default: the model's width].")
@click.option("--stride", type=int, help="CSV: rows between samples [default: half a window].")
@json_option
def command(
    source: Path, output: Path, model: Path | None, scale: float | None, zero_point: int | None,
    label_column: str, columns: str | None, window: int | None, stride: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a data file from SOURCE: an .npz, a folder of images, or CSV recordings.

    \b
    .npz    x (N, h, w, c), (N, w, c) or (N, c), and y: class indices or float targets.
            uint8 x are pixels (q = pixel - 128), int8 x are quantised, float x are real units.
    folder  one folder of pictures for each class, or .csv files, one for each recording.
    .csv    a header, a column of classes, and columns of a signal in real units.

    Example: microtrain data photos/ --model net.mtm -o photos.mtd
    """
    target = _target(model, scale, zero_point, source)
    if source.suffix == ".npz":
        data = from_npz(source, target)
    elif source.suffix == ".csv" or (source.is_dir() and any(source.glob("*.csv"))):
        window = window or (target.shape[1] if target.shape else None)
        if window is None:
            raise DataError("CSV recordings need --window (rows in one sample) or --model")
        names = [name.strip() for name in columns.split(",")] if columns else []
        data = from_csv(source, target, window, stride or max(window // 2, 1), label_column, names)
    elif source.is_dir():
        with progress_bar(source.name, unit_bytes=False) as progress:
            data = from_images(source, target, progress)
    else:
        raise DataError(f"{source}: not an .npz, a .csv, or a folder of images or .csv files")
    dataset.write(data, output)
    _report(data, output, as_json)


def _target(
    model: Path | None, scale: float | None, zero_point: int | None, source: Path
) -> Target:
    if model is not None:
        if scale is not None or zero_point is not None:
            raise DataError("give --model, or --scale and --zero-point, not both")
        return Target.of(image.read(model))
    if scale is not None and zero_point is not None:
        if not 0 < scale < float("inf"):
            raise DataError(f"--scale {scale}: a positive number is needed")
        return Target(scale, zero_point)
    raise DataError(
        f"{source.name}: how are values quantised? Give --model IMAGE.mtm, or --scale and "
        "--zero-point (pixels 0..1: --scale 0.00392157 --zero-point -128)"
    )


def _report(data: Dataset, output: Path, as_json: bool) -> None:
    size = output.stat().st_size
    shape = "x".join(map(str, data.samples.shape[1:]))
    names = data.metadata.get("class_names", [])
    if as_json:
        print_json({
            "data": str(output), "bytes": size, "samples": len(data),
            "shape": list(data.samples.shape[1:]), "class_names": names,
        })
    else:
        classes = f", {len(names)} classes" if names else ""
        click.echo(f"{output}: {size} bytes, {len(data)} samples of {shape}{classes}")
