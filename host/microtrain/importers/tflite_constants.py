"""Fold the integer arithmetic on shapes that converters leave in front of a RESHAPE."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError
from microtrain.importers.tflite_file import FileModel, FileOp

FOLDABLE = frozenset({"SHAPE", "STRIDED_SLICE", "PACK", "GATHER", "CONCATENATION", "CAST"})


class Constants:
    """Values of tensors known at import time: the file's constants and what was folded."""

    def __init__(self, model: FileModel) -> None:
        self._model = model
        self._folded: dict[int, NDArray[Any]] = {}

    def get(self, tensor: int) -> NDArray[Any] | None:
        """The value of a tensor, or None if it depends on the network's input."""
        if tensor in self._folded:
            return self._folded[tensor]
        return self._model.tensors[tensor].data

    def fold(self, op: FileOp) -> bool:
        """Fold `op` if it is shape arithmetic on known values; says whether it did."""
        if op.name not in FOLDABLE:
            return False
        if op.name == "SHAPE":
            if not op.inputs:
                raise ConversionError(f"operator {op.index} (SHAPE) has no input")
            shape = self._model.tensors[op.inputs[0]].shape
            self._folded[op.outputs[0]] = np.array(shape, np.int64)
            return True
        values = [self.get(i) if i >= 0 else None for i in op.inputs]
        known = [v for v in values if v is not None]
        if len(known) != len(op.inputs) or not known:
            return False
        try:
            self._folded[op.outputs[0]] = _evaluate(op, known)
        except (ValueError, IndexError, TypeError) as error:
            raise ConversionError(
                f"operator {op.index} ({op.name}): shape arithmetic fails: {error}"
            ) from None
        return True


def _evaluate(op: FileOp, values: list[NDArray[Any]]) -> NDArray[Any]:
    if op.name == "CAST":
        return values[0]
    if op.name == "PACK":
        return np.stack(values, axis=op.options["Axis"])
    if op.name == "CONCATENATION":
        return np.concatenate(values, axis=op.options["Axis"])
    if op.name == "GATHER":
        if op.options["BatchDims"]:
            raise ValueError("batch_dims is not supported")
        return np.take(values[0], values[1].astype(np.int64), axis=op.options["Axis"])
    return _strided_slice(op, values)


def _strided_slice(op: FileOp, values: list[NDArray[Any]]) -> NDArray[Any]:
    array, begins, ends, strides = values
    if op.options["EllipsisMask"] or op.options["NewAxisMask"]:
        raise ValueError("ellipsis and new-axis masks are not supported")
    index: list[slice | int] = []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << axis
        if op.options["ShrinkAxisMask"] & bit:
            index.append(int(begin))
            continue
        index.append(
            slice(
                None if op.options["BeginMask"] & bit else int(begin),
                None if op.options["EndMask"] & bit else int(end),
                int(stride),
            )
        )
    return np.asarray(array[tuple(index)])
