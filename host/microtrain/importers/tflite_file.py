"""Read a .tflite flatbuffer into plain objects. All trust in the file's structure ends here.

Parsing is the `tflite` schema package's. A damaged file makes its accessors raise all kinds of
exceptions (or return nonsense, which the importer checks), so they are turned into one error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError

_LIMIT = 1 << 14
_DTYPES = {"FLOAT32": "<f4", "INT32": "<i4", "INT64": "<i8", "INT8": "i1", "UINT8": "u1"}


@dataclass
class FileTensor:
    """One tensor of the file. `data` is None for activations and for types we do not read."""

    shape: list[int]
    dtype: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    quantized_dimension: int
    is_variable: bool
    is_sparse: bool
    data: NDArray[Any] | None


@dataclass
class FileOp:
    """One operator of the file. Absent optional inputs are -1."""

    index: int
    name: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class FileModel:
    tensors: list[FileTensor]
    ops: list[FileOp]
    inputs: list[int]
    outputs: list[int]


def read_tflite(data: bytes) -> FileModel:
    """The single subgraph of a .tflite file. Raises ConversionError."""
    try:
        import tflite
    except ImportError as error:
        raise ConversionError(
            "reading .tflite needs the package 'tflite': pip install 'microtrain[tflite]'"
        ) from error
    if data[4:8] != b"TFL3":
        raise ConversionError("not a .tflite file: bytes 4 to 8 are not 'TFL3'")
    try:
        return _read(tflite, data)
    except (
        struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError,
        MemoryError, RecursionError,
    ) as error:  # fmt: skip
        raise ConversionError(f"the .tflite file is damaged: {error!r}") from error


def _read(tflite: Any, data: bytes) -> FileModel:
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise ConversionError(f"{model.SubgraphsLength()} subgraphs; only models with 1 import")
    graph = model.Subgraphs(0)
    counts = graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength()
    if max(*counts, model.OperatorCodesLength()) > _LIMIT:
        raise ConversionError(f"more than {_LIMIT} tensors, operators or buffers: {counts}")
    types = _names(tflite.TensorType)
    codes = _names(tflite.BuiltinOperator)
    tensors = [_tensor(model, graph.Tensors(i), types) for i in range(counts[0])]
    ops = [_op(tflite, model, graph.Operators(i), i, codes) for i in range(counts[1])]
    result = FileModel(tensors, ops, _ints(graph.InputsAsNumpy()), _ints(graph.OutputsAsNumpy()))
    used = [*result.inputs, *result.outputs]
    for op in ops:
        used += [i for i in op.inputs if i != -1] + op.outputs
        if not op.outputs:
            raise ConversionError(f"operator {op.index} ({op.name}) has no output")
    if any(not 0 <= i < len(tensors) for i in used):
        raise ConversionError(f"a tensor index is outside the file's {len(tensors)} tensors")
    return result


def _names(enum: Any) -> dict[int, str]:
    return {v: k for k, v in vars(enum).items() if isinstance(v, int)}


def _ints(array: Any) -> list[int]:
    """A flatbuffer vector as a list; the accessors return 0 for an absent one."""
    return [] if isinstance(array, int) else [int(v) for v in array]


def _tensor(model: Any, tensor: Any, types: dict[int, str]) -> FileTensor:
    shape = _ints(tensor.ShapeAsNumpy())
    signature = _ints(tensor.ShapeSignatureAsNumpy())
    if signature and signature[0] == -1 and len(signature) == len(shape):
        shape[0] = 1  # a dynamic batch
    if len(shape) > 8 or any(v < 0 for v in shape):
        raise ConversionError(f"a tensor has the shape {shape}")
    dtype = types.get(tensor.Type(), f"type {tensor.Type()}")
    quantization = tensor.Quantization()
    scales: Any = quantization.ScaleAsNumpy() if quantization else 0
    zeros: Any = quantization.ZeroPointAsNumpy() if quantization else 0
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    data = None
    if not isinstance(raw, int) and raw.size and dtype in _DTYPES:
        data = np.frombuffer(raw.tobytes(), _DTYPES[dtype]).reshape(shape)
    return FileTensor(
        shape,
        dtype,
        np.array([] if isinstance(scales, int) else scales, np.float32),
        np.array([] if isinstance(zeros, int) else zeros, np.int64),
        quantization.QuantizedDimension() if quantization else 0,
        bool(tensor.IsVariable()),
        tensor.Sparsity() is not None,
        data,
    )


def _op(tflite: Any, model: Any, operator: Any, index: int, codes: dict[int, str]) -> FileOp:
    code = model.OperatorCodes(operator.OpcodeIndex())
    value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = codes.get(value, f"operator code {value}")
    if name == "CUSTOM":
        name = (code.CustomCode() or b"CUSTOM").decode(errors="replace")
    return FileOp(
        index, name, _ints(operator.InputsAsNumpy()), _ints(operator.OutputsAsNumpy()),
        _options(tflite, name, operator),
    )  # fmt: skip


# Operator -> (options table, the fields we need).
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", (
        "Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor",
        "FusedActivationFunction")),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (
        "Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor",
        "FusedActivationFunction")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("WeightsFormat", "FusedActivationFunction")),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": ("Pool2DOptions", (
        "Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth",
        "FusedActivationFunction")),
    "MAX_POOL_2D": ("Pool2DOptions", (
        "Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth",
        "FusedActivationFunction")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "STRIDED_SLICE": ("StridedSliceOptions", (
        "BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
    "PACK": ("PackOptions", ("Axis",)),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "CONCATENATION": ("ConcatenationOptions", ("Axis",)),
}  # fmt: skip


def _options(tflite: Any, name: str, operator: Any) -> dict[str, Any]:
    if name not in _OPTIONS:
        return {}
    table, fields = _OPTIONS[name]
    options = getattr(tflite, table)()
    source = operator.BuiltinOptions()
    if source is None:
        raise ConversionError(f"operator {name} has no options")
    options.Init(source.Bytes, source.Pos)
    return {f: getattr(options, f)() for f in fields}
