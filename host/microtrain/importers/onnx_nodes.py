"""Convert the nodes of a float ONNX graph into a channels-last float graph.

Batch normalisation and constant factors are folded into the operator before, activations fused,
reshapes and transposes resolved at import time where only linear operators read the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from microtrain.errors import ConversionError
from microtrain.float_graph import FloatGraph
from microtrain.graph import MAX_ELEMENTS
from microtrain.importers.onnx_plain import PlainNodes
from microtrain.importers.onnx_values import Activation, canonical, our_shape
from microtrain.importers.onnx_weighted import WeightedNodes

# What handlers raise on nodes with impossible operands, which the checker lets through.
_MALFORMED = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)


def convert(model: Any, metadata: dict[str, Any]) -> FloatGraph:
    """The float graph of a checked ONNX model. Raises ConversionError."""
    return _Converter(model.graph, list(model.opset_import), metadata).run()


class _Converter(WeightedNodes, PlainNodes):
    def run(self) -> FloatGraph:
        constants = self._initializers()
        inputs = [i for i in self.source.input if i.name not in constants]
        if len(inputs) != 1 or len(self.source.output) != 1:
            raise ConversionError(
                f"{len(inputs)} inputs and {len(self.source.output)} outputs; only one of each is "
                "supported"
            )
        self.values.update(constants)
        self.values[inputs[0].name] = self._input(inputs[0])
        for index, node in enumerate(self.source.node):
            self.node = node
            try:
                self._convert_node()
            except ConversionError as error:
                raise ConversionError(f"{self._where(index)}: {error}") from None
            except _MALFORMED as error:
                raise ConversionError(f"{self._where(index)}: malformed: {error!r}") from error
        result = self.values.get(self.source.output[0].name)
        if not isinstance(result, Activation) or not self.graph.ops:
            raise ConversionError("the output does not depend on the input")
        self.graph.output = result.tensor
        return self.graph

    def _initializers(self) -> dict[str, NDArray[Any]]:
        constants = {}
        for tensor in self.source.initializer:
            if tensor.external_data:
                raise ConversionError("weights in separate files; save the model as one file")
            try:
                constants[tensor.name] = numpy_helper.to_array(tensor)
            except _MALFORMED as error:
                raise ConversionError(f"weights {tensor.name!r}: {error!r}") from error
        return constants

    def _where(self, index: int) -> str:
        name = f" {self.node.name!r}" if self.node.name else ""
        return f"operator {index} ({self.node.op_type}{name})"

    def _input(self, info: Any) -> Activation:
        dims = info.type.tensor_type.shape.dim
        shape = tuple(d.dim_value if d.HasField("dim_value") else 0 for d in dims)
        shape = (1, *shape[1:]) if shape and shape[0] in (0, 1) else shape
        if 0 in shape or not 2 <= len(shape) <= 4 or np.prod(shape) > MAX_ELEMENTS:
            raise ConversionError(
                f"input {info.name!r} has the shape {list(shape)} (0: unknown); export the model "
                "with a fixed shape [1, c], [1, c, w] or [1, c, h, w]"
            )
        to_first = (0, 3, 1, 2) if len(shape) == 4 else (0, 2, 1)
        channels_last = len(shape) > 2 and any(
            n.op_type == "Transpose" and info.name in n.input and self._perm(n) == to_first
            for n in self.source.node
        )
        if channels_last:
            ours = our_shape(tuple(shape[i] for i in to_first))
            places = np.arange(np.prod(shape)).reshape(shape)
        else:
            ours, places = our_shape(shape), canonical(shape)
        self.graph.shapes.append(ours)
        return Activation(0, places)

    @staticmethod
    def _perm(node: Any) -> tuple[int, ...]:
        for attribute in node.attribute:
            if attribute.name == "perm":
                return tuple(attribute.ints)
        return ()

    def _convert_node(self) -> None:
        node = self.node
        inputs = [self.values[name] for name in node.input if name]
        if node.op_type == "Shape" and isinstance(inputs[0], Activation):
            self.values[node.output[0]] = np.array(inputs[0].shape, np.int64)
            return
        if not any(isinstance(value, Activation) for value in inputs):
            self._fold_constants()
            return
        handler = HANDLERS.get(node.op_type)
        if handler is None:
            raise ConversionError(f"not supported. Supported: {', '.join(sorted(HANDLERS))}")
        if any(self.uses[name] for name in node.output[1:]):
            raise ConversionError("its second output is used; only the first is supported")
        handler(self)

    def _fold_constants(self) -> None:
        if self.node.op_type == "DequantizeLinear":
            self._dequantize_constant()
            return
        feeds = {name: self.values[name] for name in self.node.input if name}
        results = self.evaluate(feeds)
        for name, result in zip(self.node.output, results, strict=False):
            self.values[name] = np.asarray(result)

    def _dequantize_constant(self) -> None:
        """Weights that came quantised: their scales are kept, if they are symmetric."""
        q, scale = self.required(0, "weights"), self.required(1, "scale").astype(np.float32)
        zero, axis = self.constant(2, "zero point"), self.attribute("axis", 1)
        shape = [-1 if i == axis % max(q.ndim, 1) else 1 for i in range(q.ndim)]
        if scale.size == 1:
            shape = [1] * q.ndim
        shifted = q.astype(np.float64)
        if zero is not None and zero.any():
            shifted -= zero.astype(np.float64).reshape(shape)
        elif (scale > 0).all():
            self.scales[self.node.output[0]] = (scale, axis)
        self.values[self.node.output[0]] = shifted * scale.astype(np.float64).reshape(shape)


HANDLERS: dict[str, Callable[[_Converter], None]] = {
    "Add": _Converter.arithmetic,
    "AveragePool": _Converter.pool,
    "BatchNormalization": _Converter.batch_normalization,
    "Cast": _Converter.identity,
    "DequantizeLinear": _Converter.identity,
    "Clip": _Converter.clip,
    "Conv": _Converter.conv,
    "Div": _Converter.arithmetic,
    "Dropout": _Converter.identity,
    "Flatten": _Converter.view,
    "Gemm": _Converter.gemm,
    "GlobalAveragePool": _Converter.global_average_pool,
    "Identity": _Converter.identity,
    "LogSoftmax": _Converter.softmax,
    "MatMul": _Converter.matmul,
    "MaxPool": _Converter.pool,
    "Mul": _Converter.arithmetic,
    "Pad": _Converter.pad,
    "QuantizeLinear": _Converter.quantize,
    "ReduceMean": _Converter.reduce_mean,
    "Relu": _Converter.relu,
    "Reshape": _Converter.view,
    "Softmax": _Converter.softmax,
    "Squeeze": _Converter.view,
    "Sub": _Converter.arithmetic,
    "Transpose": _Converter.view,
    "Unsqueeze": _Converter.view,
}
