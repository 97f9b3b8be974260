"""`microtrain inspect`: what is in one of our files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click
import numpy as np

from microtrain import checkpoint, dataset, image, signature
from microtrain.checkpoint import Checkpoint
from microtrain.cli.common import FILE, json_option, print_json
from microtrain.dataset import Dataset
from microtrain.errors import MicrotrainError
from microtrain.graph import Graph, Op

KEY_WIDTH = 21


@click.command()
@click.argument("file", type=FILE)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Say what is in FILE, and check it completely.

    FILE is a model image (.mtm), a data file (.mtd) or a checkpoint (.mtc).

    Example: microtrain inspect net.mtm
    """
    with file.open("rb") as opened:
        magic = opened.read(4)
    if magic == image.MAGIC:
        graph = image.read(file)
        summary = image_summary(file, graph)
    elif magic == dataset.MAGIC:
        summary = data_summary(file, dataset.read(file))
    elif magic == checkpoint.MAGIC:
        summary = checkpoint_summary(file, checkpoint.read(file))
    else:
        raise MicrotrainError(
            f"{file}: neither a model image (MTMI), a data file (MTD1) nor a checkpoint (MTC1)"
        )
    if as_json:
        print_json(summary)
    else:
        _print(summary)


def image_summary(file: Path, graph: Graph) -> dict[str, Any]:
    """Everything `inspect --json` says about an image."""
    data = file.read_bytes()
    _, found = signature.split(data)
    return {
        "file": str(file),
        "kind": "model image",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "header_sha256": image.header_sha256(data),
        "signature": found.name if found else None,
        "signed_with": found.key_id if found else None,
        "parameters": graph.parameters(),
        "macs": sum(graph.macs(op) for op in graph.ops),
        "input": _tensor(graph, graph.input),
        "output": _tensor(graph, graph.output),
        "metadata": graph.metadata,
        "operators": [_operator(graph, index, op) for index, op in enumerate(graph.ops)],
    }


def _tensor(graph: Graph, index: int) -> dict[str, Any]:
    tensor = graph.tensors[index]
    return {"shape": tensor.shape, "scale": tensor.scale, "zero_point": tensor.zero_point}


def _operator(graph: Graph, index: int, op: Op) -> dict[str, Any]:
    return {
        "index": index,
        "name": op.name,
        "op": op.kind.name.lower(),
        "inputs": [graph.tensors[i].shape for i in op.inputs],
        "output": graph.tensors[op.output].shape,
        "kernel": op.kernel,
        "stride": op.stride,
        "activation": op.activation.name.lower(),
        "weights": 0 if op.weights is None else int(op.weights.size),
        "macs": graph.macs(op),
    }


def data_summary(file: Path, data: Dataset) -> dict[str, Any]:
    """Everything `inspect --json` says about a data file."""
    labels: dict[str, Any] = {"kind": ("none", "class", "vector")[data.label_kind]}
    if data.labels is not None and data.label_kind == dataset.CLASS_LABELS:
        values, counts = np.unique(data.labels, return_counts=True)
        labels["counts"] = {str(v): int(n) for v, n in zip(values, counts, strict=True)}
    elif data.labels is not None:
        labels["length"] = data.labels.shape[1]
    return {
        "file": str(file),
        "kind": "data file",
        "bytes": file.stat().st_size,
        "samples": len(data),
        "shape": data.samples.shape[1:],
        "scale": data.scale,
        "zero_point": data.zero_point,
        "labels": labels,
        "metadata": data.metadata,
    }


def checkpoint_summary(file: Path, found: Checkpoint) -> dict[str, Any]:
    """Everything `inspect --json` says about a checkpoint."""
    return {
        "file": str(file),
        "kind": "checkpoint",
        "bytes": file.stat().st_size,
        "model": found.model,
        "image_header_sha256": found.image_sha256,
        "scheme": found.scheme_name,
        "layers": found.layers,
        "loss": found.loss,
        "new_classes": found.new_classes or None,
        "labels": found.labels,
        "steps": found.steps,
        "epochs": found.epochs,
        "lr": found.lr,
        "seed": found.seed,
        "state_bytes": len(found.state),
        "fit": found.fit,
    }


def _print(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for key, value in summary.items():
        if key not in ("operators", "metadata", "layers", "fit"):
            click.echo(f"{key:{KEY_WIDTH}}{value}")
    for key, value in summary.get("metadata", {}).items():
        click.echo(f"{'  ' + key:{KEY_WIDTH}}{value}")
    if summary.get("fit"):
        fit = summary["fit"]
        done, total = fit.get("done"), f"{fit.get('epochs')} x {fit.get('samples')}"
        click.echo(f"{'unfinished fit':{KEY_WIDTH}}{done} of {total} steps")
    if "operators" not in summary:
        return
    table = Table("#", "name", "operator", "output", "kernel", "stride", "activation", "weights",
                  "MACs", box=None)  # fmt: skip
    for op in summary["operators"]:
        shape, kernel, stride = ("x".join(map(str, op[k])) for k in ("output", "kernel", "stride"))
        table.add_row(
            str(op["index"]), escape(op["name"]), op["op"], shape, kernel, stride,
            op["activation"], f"{op['weights']:,}", f"{op['macs']:,}",
        )  # fmt: skip
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)
