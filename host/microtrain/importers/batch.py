"""Convert every model of a folder: `python -m microtrain.importers.batch SOURCE_DIR OUT_DIR`.

Takes .tflite files and MCUNet backbones (.npz with a .json beside it). Prints what was made, and
what was refused and why. Float ONNX models are left out: they need calibration data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from microtrain import image
from microtrain.errors import ConversionError, ModelError
from microtrain.importers import import_model


@dataclass(frozen=True)
class Result:
    """One converted model (`size` bytes of image), or one refusal."""

    source: Path
    size: int = 0
    operators: int = 0
    refusal: str = ""


def models_below(folder: Path) -> Iterator[Path]:
    """The importable files below `folder`, in order of their names."""
    for path in sorted(folder.rglob("*")):
        is_backbone = path.suffix == ".npz" and path.with_suffix(".json").exists()
        if path.is_file() and (path.suffix == ".tflite" or is_backbone):
            yield path


def convert_all(source: Path, out: Path) -> list[Result]:
    """Convert every model below `source` to `out`/<name>.mtm."""
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for path in models_below(source):
        try:
            graph = import_model(path)
            data = image.write(graph, out / f"{path.stem}.mtm")
        except (ConversionError, ModelError) as error:
            results.append(Result(path, refusal=str(error).removeprefix(f"{path}: ")))
        else:
            results.append(Result(path, len(data), len(graph.ops)))
    return results


def main(arguments: list[str]) -> int:
    """Command line entry; returns the exit code."""
    if len(arguments) != 2:
        print("usage: python -m microtrain.importers.batch SOURCE_DIR OUT_DIR", file=sys.stderr)
        return 2
    source, out = map(Path, arguments)
    if not source.is_dir():
        print(f"{source} is not a folder", file=sys.stderr)
        return 2
    table = Table("model", "image bytes", "operators", "refused because", show_edge=False)
    results = convert_all(source, out)
    for result in results:
        made = (str(result.size), str(result.operators)) if result.size else ("-", "-")
        table.add_row(str(result.source.relative_to(source)), *made, result.refusal)
    Console().print(table)
    made_count = sum(1 for result in results if result.size)
    print(f"{made_count} images in {out}, {len(results) - made_count} models refused")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
