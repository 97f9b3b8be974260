"""Importers: models of other formats to our graph. One file a format; each is imported late."""

from __future__ import annotations

from pathlib import Path

from microtrain.errors import ConversionError
from microtrain.files import read_checked
from microtrain.graph import Graph

FORMATS = ".tflite (int8), .onnx (float, with calibration data), .npz (MCUNet backbone)"


def import_model(path: Path) -> Graph:
    """Import an already quantised model, chosen by the file's suffix. Raises ConversionError.

    Float ONNX models need calibration data: `microtrain.importers.onnx.import_onnx`.
    """
    if path.suffix == ".tflite":
        from microtrain.importers.tflite import import_tflite

        return import_tflite(path)
    if path.suffix == ".npz":
        from microtrain.importers.mcunet import import_mcunet

        return import_mcunet(path)
    raise ConversionError(f"{path}: cannot import {path.suffix or 'this'} files, only {FORMATS}")


def read_file(path: Path) -> bytes:
    """The bytes of a model file. Raises ConversionError."""
    return read_checked(path, bytes, ConversionError)
