"""What a run starts from: image, data and scheme, read and checked on the host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from microtrain import dataset, image
from microtrain.data_sources import Target, from_npz
from microtrain.dataset import Dataset
from microtrain.errors import DataError, ModelError
from microtrain.files import read_checked
from microtrain.graph import Graph
from microtrain.scheme import is_name, load_scheme


@dataclass(frozen=True)
class Image:
    """A model image: its file's bytes, and what they mean."""

    path: Path
    data: bytes
    graph: Graph


def load_image(path: Path) -> Image:
    """Read and check an image. Raises ModelError."""
    return read_checked(
        path, lambda data: Image(path, data, image.from_bytes(data)), ModelError
    )


def load_data(path: Path, graph: Graph) -> Dataset:
    """A .mtd file, or an .npz quantised for the input of `graph`. Raises DataError."""
    if path.suffix == ".npz":
        return from_npz(path, Target.of(graph))
    if path.suffix == ".mtd":
        return dataset.read(path)
    raise DataError(f"{path}: .mtd or .npz needed; `microtrain data` makes a .mtd from others")


def board_scheme(text: str, graph: Graph) -> str:
    """What the board takes for --scheme: a name, or JSON text with explicit layers and channels.

    Raises SchemeError.
    """
    scheme = load_scheme(text, graph)
    return text if is_name(text) else json.dumps(scheme.to_json(graph), separators=(",", ":"))
