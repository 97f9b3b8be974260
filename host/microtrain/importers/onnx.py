"""Import ONNX models: float ones by post-training quantisation, quantised ones as they are.

ONNX is channels-first; the image is channels-last, and so is calibration data: (N, h, w, c) for
images, (N, w, c) for windows of a signal, (N, c) for vectors, in the model's real units.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError, DataError, ModelError
from microtrain.float_graph import FloatGraph
from microtrain.graph import Graph
from microtrain.importers import read_file
from microtrain.quantize import Method, quantize


def import_onnx(
    path: Path,
    calibration: NDArray[np.float32] | None,
    method: Method = "minmax",
    percentile: float = 99.99,
) -> Graph:
    """The int8 graph of an .onnx file. Raises ConversionError and DataError.

    `calibration` is channels-last (see above); `method` and `percentile` go to `quantize`. A model
    quantised already (QuantizeLinear and DequantizeLinear around its operators) needs none: its
    scales are kept, and outputs differ from float execution of the pairs by rounding only.
    """
    graph = read_float_graph(path)
    if calibration is None:
        return _quantized(path, graph, None, method, percentile)
    samples = np.asarray(calibration, np.float32)
    if samples.ndim < 2 or samples.size == 0:
        raise DataError(f"calibration data has the shape {samples.shape}; one sample a row needed")
    h, w, c = graph.shapes[graph.input]
    given = [v for v in samples.shape[1:] if v != 1]
    if given != [v for v in (h, w, c) if v != 1]:
        raise DataError(
            f"calibration samples have the shape {samples.shape[1:]}, the model wants {(h, w, c)} "
            "(height, width, channels; channels last)"
        )
    return _quantized(path, graph, samples.reshape(-1, h, w, c), method, percentile)


def _quantized(
    path: Path, graph: FloatGraph, samples: NDArray[np.float32] | None, method: Method,
    percentile: float,
) -> Graph:  # fmt: skip
    try:
        return quantize(graph, samples, method, percentile)
    except ModelError as error:
        raise ConversionError(f"{path}: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def load_calibration(path: Path) -> NDArray[np.float32]:
    """The float array `x` of an .npz file of calibration samples. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x = arrays["x"] if "x" in arrays.files else None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz of plain arrays: {error}") from error
    if x is None or x.dtype.kind != "f":
        raise DataError(
            f"{path}: needs a float array 'x' in the model's real units, channels last"
        )
    return x.astype(np.float32)


def read_float_graph(path: Path) -> FloatGraph:
    """The float graph of an .onnx file, channels-last. Raises ConversionError."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ConversionError(
            "reading .onnx needs the package 'onnx': pip install 'microtrain[onnx]'"
        ) from error
    from microtrain.importers.onnx_nodes import convert

    data = read_file(path)
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ConversionError(f"{path}: not a valid ONNX model: {error}") from error
    provenance: dict[str, Any] = {
        "format": "onnx",
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
    }
    try:
        return convert(model, {"name": path.stem, "provenance": provenance})
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
