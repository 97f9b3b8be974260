"""Import int8 TensorFlow Lite models: the same operators, weights and rounding, so equal bytes.

Float input and output (QUANTIZE and DEQUANTIZE at the ends) is stripped: the image's input and
output are the int8 tensors inside. Outputs equal LiteRT's reference kernels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from microtrain.errors import ConversionError, ModelError
from microtrain.graph import Graph
from microtrain.importers import read_file
from microtrain.importers.simplify import simplify
from microtrain.importers.tflite_file import FileModel, read_tflite
from microtrain.importers.tflite_ops import FLOAT_TAIL, SUPPORTED, Converter, where
from microtrain.importers.weights import split_wide_weights
from microtrain.validate import validate


def import_tflite(path: Path) -> Graph:
    """The graph of an int8 .tflite file. Raises ConversionError naming what is unsupported."""
    data = read_file(path)
    sha256 = hashlib.sha256(data).hexdigest()
    provenance = {"format": "tflite", "file": path.name, "sha256": sha256}
    try:
        return convert(read_tflite(data), {"name": path.stem, "provenance": provenance})
    except (ConversionError, ModelError) as error:
        raise ConversionError(f"{path}: {error}") from None


def convert(model: FileModel, metadata: dict[str, Any]) -> Graph:
    """Convert what `read_tflite` returned. Raises ConversionError or ModelError."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConversionError(
            f"{len(model.inputs)} inputs and {len(model.outputs)} outputs; only one of each is "
            "supported"
        )
    for op in model.ops:
        if op.name not in SUPPORTED and op.name not in FLOAT_TAIL:
            raise ConversionError(
                f"{where(model, op)}: not supported. Supported: {', '.join(sorted(SUPPORTED))}"
            )
    graph = Converter(model, metadata).run()
    graph.ops = [part for op in graph.ops for part in (*split_wide_weights(graph, op), op)]
    simplify(graph)
    validate(graph)
    return graph
