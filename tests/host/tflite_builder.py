"""Build small .tflite models, so that every operator can be compared with LiteRT."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES = {"int8": 9, "uint8": 3, "int16": 7, "int32": 2, "float32": 0}


class Builder:
    """One subgraph; tensors are numbered as they are added."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes = []
        self.model.buffers = [self._buffer(None)]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    @staticmethod
    def _buffer(data: NDArray[Any] | None) -> Any:
        buffer = schema.BufferT()
        if data is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        return buffer

    def tensor(
        self, shape: list[int], dtype: str = "int8", scale: Any = None, zero_point: int = 0,
        dimension: int = 0, data: NDArray[Any] | None = None, signature: list[int] | None = None,
    ) -> int:  # fmt: skip
        """Add a tensor; `scale` is a number or a list (per channel)."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type = shape, TYPES[dtype]
        tensor.name = f"t{len(self.graph.tensors)}"
        tensor.shapeSignature = signature
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.scale = scales
            quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            quantization.quantizedDimension = dimension
            tensor.quantization = quantization
        if data is not None:
            self.model.buffers.append(self._buffer(data))
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def op(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """Add an operator; `options` is an options object of the schema."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}.get(name, 2)
        code.version = {"RESHAPE": 1, "SHAPE": 1, "PACK": 1, "SVDF": 3, "RELU_N1_TO_1": 1}.get(
            name, code.version
        )
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The bytes of the .tflite file."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind: str, **fields: Any) -> Any:
    """An options object, e.g. options("Conv2D", strideH=1, ...)."""
    result = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        if not hasattr(result, name):
            raise AttributeError(f"{kind}Options has no field {name}")
        setattr(result, name, value)
    return result
