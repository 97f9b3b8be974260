"""Convert each operator of a TFLite file. The parameters are computed as TFLite computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from microtrain.errors import ConversionError, ModelError
from microtrain.fixed_point import (
    Activation,
    add_parameters,
    mean_parameters,
    quantize_multiplier,
)
from microtrain.graph import Graph, Kind, Rounding
from microtrain.importers.tflite_constants import FOLDABLE
from microtrain.importers.tflite_context import Context
from microtrain.importers.tflite_file import FileModel, FileOp

FLOAT_TAIL = frozenset({"SOFTMAX", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE"})


def where(model: FileModel, op: FileOp) -> str:
    """Index, name and output shape of an operator, for errors."""
    shape = "x".join(map(str, model.tensors[op.outputs[0]].shape))
    return f"operator {op.index} ({op.name}, output {shape or 'scalar'})"


class Converter(Context):
    """Converts a file's operators in order."""

    def run(self) -> Graph:
        source, result = self.model.inputs[0], self.model.outputs[0]
        dtype = self.model.tensors[source].dtype
        if dtype in ("INT8", "UINT8"):
            self.tensor_of[source] = self.add_tensor(source)
        elif dtype != "FLOAT32":
            raise ConversionError(f"the input is {dtype}; INT8, UINT8 or FLOAT32 is supported")
        self.graph.metadata["input"] = {"file_dtype": dtype}
        for op in self.model.ops:
            self.op = op
            try:
                self.convert_op()
            except (ConversionError, ModelError) as error:
                raise ConversionError(f"{where(self.model, self.op)}: {error}") from None
        output = self.tensor_of.get(result, self.float_of.get(result))
        if output is None or not self.graph.ops:
            raise ConversionError("no int8 operator produces the output")
        self.graph.output = output
        return self.graph

    def convert_op(self) -> None:
        op = self.op
        if self.constants.fold(op):
            return
        if op.inputs and op.inputs[0] in self.float_of:
            if op.name not in FLOAT_TAIL:
                raise ConversionError("works on float values after DEQUANTIZE; int8 only")
            self.float_of[op.outputs[0]] = self.float_of[op.inputs[0]]
            if op.name.endswith("SOFTMAX"):
                self.graph.notes.append(
                    f"operator {op.index} ({op.name}, on float) dropped: the image ends at the "
                    "int8 values before it"
                )
            return
        if op.name not in _HANDLERS:
            raise ConversionError("only supported on float values at the network's end")
        if not op.inputs:
            raise ConversionError("has no input")
        _HANDLERS[op.name](self)

    def conv2d(self) -> None:
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        shape = self.constant(1, "weights").shape
        if len(shape) != 4 or shape[0] != y.c or shape[3] != x.c:
            raise ConversionError(
                f"weights {shape} for {x.c} input and {y.c} output channels (grouped "
                "convolution is not supported)"
            )
        data, scales = self.weights(y.c, 0)
        fields = self.windows(x, y, (shape[1], shape[2]))
        self.emit_weighted(
            Kind.CONV2D, source, out, data, scales, self.bias(y.c),
            activation=self.activation(), **fields,
        )  # fmt: skip

    def depthwise(self) -> None:
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        shape = self.constant(1, "weights").shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != y.c or y.c % x.c:
            raise ConversionError(f"weights {shape} for {x.c} input and {y.c} output channels")
        data, scales = self.weights(y.c, 3)
        fields = self.windows(x, y, (shape[1], shape[2]))
        self.emit_weighted(
            Kind.DEPTHWISE_CONV2D, source, out, data[0], scales, self.bias(y.c),
            channel_multiplier=y.c // x.c, activation=self.activation(), **fields,
        )  # fmt: skip

    def fully_connected(self) -> None:
        if self.op.options["WeightsFormat"] != 0:
            raise ConversionError("shuffled weights are not supported")
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        info = self.constant(1, "weights")
        if len(info.shape) != 2 or 0 in info.shape or x.size % info.shape[1]:
            raise ConversionError(f"weights {info.shape} for an input of {x.size} values")
        outputs, inputs = info.shape
        if x.size != inputs:
            raise ConversionError(
                f"applies its weights to {x.size // inputs} rows of {inputs} values; only to one "
                "is supported"
            )
        if y.size != outputs:
            raise ConversionError(f"{y.size} outputs, but its weights give {outputs}")
        data, scales = self.weights(outputs, 0)
        self.emit_weighted(
            Kind.LINEAR, source, out, data, scales, self.bias(outputs),
            activation=self.activation(), rounding=Rounding.ONCE,
        )  # fmt: skip

    def add(self) -> None:
        first, second, out = self.source(0), self.source(1), self.destination()
        a, b, y = (self.graph.tensors[i] for i in (first, second, out))
        if not a.shape == b.shape == y.shape:
            raise ConversionError(f"adds {a.shape} and {b.shape}; broadcasting is not supported")
        params = (*add_parameters(a.scale, b.scale, y.scale), 0, 0)
        self.emit(Kind.ADD, out, self.activation(), inputs=(first, second), params=params)

    def pool(self) -> None:
        kind = Kind.MAX_POOL if self.op.name == "MAX_POOL_2D" else Kind.AVERAGE_POOL
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        self.same_scale(x, y)
        fields = self.windows(
            x, y, (self.op.options["FilterHeight"], self.op.options["FilterWidth"])
        )
        self.emit(kind, out, self.activation(), **fields)

    def mean(self) -> None:
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        rank = len(self.file_tensor(self.op.inputs[0]).shape)
        axes = {axis + rank if axis < 0 else axis for axis in self.integers(1, "axes")}
        missing = {a for a in (rank - 3, rank - 2) if a >= 0} - axes
        shape = self.file_tensor(self.op.inputs[0]).shape
        if not axes <= set(range(rank - 1)) or any(shape[a] != 1 for a in missing):
            raise ConversionError(
                f"means over axes {sorted(axes)} of {shape}; only over all of h and w"
            )
        params = (*mean_parameters(x.scale, y.scale, x.h * x.w), 0, 0, 0, 0, 0, 0)
        self.emit(Kind.MEAN, out, Activation.NONE, params=params)

    def pad(self) -> None:
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        self.same_scale(x, y)
        amounts = self.integers(1, "paddings")
        pairs = [(0, 0)] * 3 + list(zip(amounts[::2], amounts[1::2], strict=False))
        *before, (top, bottom), (left, right), channel = pairs
        if any(pair != (0, 0) for pair in (*before, channel)) or min(amounts) < 0:
            raise ConversionError(f"pads {amounts}; only h and w may be padded")
        if len(self.op.inputs) > 2 and self.integers(2, "pad value") != [
            int(self.file_tensor(self.op.inputs[0]).zero_points[0])
        ]:
            raise ConversionError("pads with a value other than the zero point")
        self.emit(Kind.PAD, out, Activation.NONE, pads=(top, left, bottom, right))

    def reshape(self) -> None:
        source = self.source()
        x = self.graph.tensors[source]
        shape = self.file_tensor(self.op.outputs[0]).shape
        out = self.destination()
        y = self.graph.tensors[out]
        self.same_scale(x, y)
        if x.size != y.size:
            raise ConversionError(f"reshapes {x.size} values to {shape}")
        if x.shape == y.shape:
            self.graph.tensors.pop()
            self.tensor_of[self.op.outputs[0]] = source
        else:
            self.emit(Kind.RESHAPE, out, Activation.NONE)

    def softmax(self) -> None:
        out = self.destination()
        y = self.graph.tensors[out]
        if (y.scale, y.zero_point) != (1 / 256, -128):
            raise ConversionError(
                f"output scale {y.scale}, zero point {y.zero_point}; 1/256 and -128 needed"
            )
        if self.op.options["Beta"] != 1.0:
            raise ConversionError(f"beta {self.op.options['Beta']}; only 1 is supported")
        self.emit(Kind.SOFTMAX, out, Activation.NONE)

    def requantize(self) -> None:
        """QUANTIZE between int8 tensors, and activations that stand alone."""
        source, out = self.source(), self.destination()
        x, y = self.graph.tensors[source], self.graph.tensors[out]
        if x.shape != y.shape:
            raise ConversionError(f"maps {x.shape} to {y.shape}")
        activation = _STANDALONE.get(self.op.name, Activation.NONE)
        ratio = x.scale / y.scale
        if self.op.name in _STANDALONE:  # TFLite divides in float32 here
            ratio = float(np.float32(x.scale) / np.float32(y.scale))
        params = (*quantize_multiplier(ratio), 0, 0, 0, 0, 0, 0)
        self.emit(Kind.REQUANTIZE, out, activation, params=params)

    def quantize(self) -> None:
        index, result = self.op.inputs[0], self.op.outputs[0]
        info, y = self.file_tensor(index), self.file_tensor(result)
        if index == self.model.inputs[0] and info.dtype == "FLOAT32":
            if self.graph.tensors:
                raise ConversionError("the input is quantised twice")
            self.graph.input = self.destination()
            return
        if y.dtype == "UINT8" and result != self.model.outputs[0]:
            raise ConversionError("uint8 inside the network is not supported, only int8")
        source = self.source()
        x = self.graph.tensors[source]
        if {info.dtype, y.dtype} == {"INT8", "UINT8"}:
            out = self.destination()
            if self.graph.tensors[out] == x:  # the same numbers, written as the other type
                self.graph.tensors.pop()
                self.tensor_of[result] = source
                return
            del self.tensor_of[result]
            self.graph.tensors.pop()
        self.requantize()

    def dequantize(self) -> None:
        if self.constants.get(self.op.inputs[0]) is not None:
            raise ConversionError(
                "only the weights of this model are quantised; quantise activations as well"
            )
        self.float_of[self.op.outputs[0]] = self.source()


_STANDALONE = {
    "RELU": Activation.RELU, "RELU6": Activation.RELU6, "RELU_N1_TO_1": Activation.RELU_N1_TO_1
}  # fmt: skip
_HANDLERS: dict[str, Callable[[Converter], None]] = {
    "CONV_2D": Converter.conv2d,
    "DEPTHWISE_CONV_2D": Converter.depthwise,
    "FULLY_CONNECTED": Converter.fully_connected,
    "ADD": Converter.add,
    "AVERAGE_POOL_2D": Converter.pool,
    "MAX_POOL_2D": Converter.pool,
    "MEAN": Converter.mean,
    "PAD": Converter.pad,
    "PADV2": Converter.pad,
    "RESHAPE": Converter.reshape,
    "SQUEEZE": Converter.reshape,
    "EXPAND_DIMS": Converter.reshape,
    "SOFTMAX": Converter.softmax,
    "RELU": Converter.requantize,
    "RELU6": Converter.requantize,
    "RELU_N1_TO_1": Converter.requantize,
    "QUANTIZE": Converter.quantize,
    "DEQUANTIZE": Converter.dequantize,
}
SUPPORTED = frozenset(_HANDLERS) | FOLDABLE
