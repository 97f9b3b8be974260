"""Import int8 TensorFlow Lite models: the same operators, weights and rounding, so equal bytes.

Float input and output (QUANTIZE and DEQUANTIZE at the ends) is stripped: the image's input and
output are the int8 tensors inside. Outputs equal LiteRT's reference kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError, ModelError
from microtrain.fixed_point import (
    Activation,
    add_parameters,
    mean_parameters,
    quantize_multiplier,
)
from microtrain.graph import MAX_ELEMENTS, Graph, Kind, Op, Rounding, Tensor, clamp_fields
from microtrain.importers import read_file
from microtrain.importers.simplify import simplify
from microtrain.importers.tflite_constants import FOLDABLE, Constants
from microtrain.importers.tflite_file import FileModel, FileOp, FileTensor, read_tflite
from microtrain.importers.weights import split_wide_weights, weighted_op
from microtrain.validate import validate

_ACTIVATIONS = {
    0: Activation.NONE, 1: Activation.RELU, 2: Activation.RELU_N1_TO_1, 3: Activation.RELU6
}  # fmt: skip
_FLOAT_TAIL = frozenset({"SOFTMAX", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE"})


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
        if op.name not in SUPPORTED and op.name not in _FLOAT_TAIL:
            raise ConversionError(
                f"{_where(model, op)}: not supported. Supported: {', '.join(sorted(SUPPORTED))}"
            )
    graph = _Converter(model, metadata).run()
    graph.ops = [part for op in graph.ops for part in (*split_wide_weights(graph, op), op)]
    simplify(graph)
    validate(graph)
    return graph


def _where(model: FileModel, op: FileOp) -> str:
    """Index, name and output shape of an operator, for errors."""
    shape = "x".join(map(str, model.tensors[op.outputs[0]].shape))
    return f"operator {op.index} ({op.name}, output {shape or 'scalar'})"


def _shape3(shape: list[int]) -> tuple[int, int, int]:
    """h, w, c of a tensor with batch 1: the last three dimensions, those before must be 1."""
    padded = [1] * (3 - len(shape)) + shape
    h, w, c = padded[-3:]
    if any(v != 1 for v in padded[:-3]) or 0 in padded or h * w * c > MAX_ELEMENTS:
        raise ConversionError(
            f"shape {shape} has a batch other than 1, more than 3 dimensions or too many elements"
        )
    return h, w, c


class _Converter:
    def __init__(self, model: FileModel, metadata: dict[str, Any]) -> None:
        self.model = model
        self.constants = Constants(model)
        self.graph = Graph([], [], 0, 0, metadata)
        self.tensor_of: dict[int, int] = {}  # file tensor -> int8 tensor of the graph
        self.float_of: dict[int, int] = {}  # float tensor after DEQUANTIZE -> the same
        self.counts: dict[Kind, int] = {}
        self.op: FileOp

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
                raise ConversionError(f"{_where(self.model, self.op)}: {error}") from None
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
            if op.name not in _FLOAT_TAIL:
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

    # Tensors

    def file_tensor(self, index: int) -> FileTensor:
        return self.model.tensors[index]

    def add_tensor(self, index: int) -> int:
        """Add the int8 tensor for a file tensor; uint8 values become int8 by subtracting 128."""
        info = self.file_tensor(index)
        if info.dtype not in ("INT8", "UINT8"):
            raise ConversionError(
                f"a tensor is {info.dtype}; only int8 networks are supported: quantise the model "
                "completely (inputs, weights and activations)"
            )
        if info.scales.size != 1 or info.zero_points.size != 1 or info.is_variable:
            raise ConversionError(
                f"an activation has {info.scales.size} scales; it needs one scale and zero point"
            )
        zero_point = int(info.zero_points[0]) - (128 if info.dtype == "UINT8" else 0)
        if not -128 <= zero_point <= 127:
            raise ConversionError(f"zero point {info.zero_points[0]} is not a {info.dtype}")
        if not (np.isfinite(info.scales[0]) and info.scales[0] > 0):
            raise ConversionError(f"scale {info.scales[0]} is not positive")
        self.graph.tensors.append(Tensor(*_shape3(info.shape), float(info.scales[0]), zero_point))
        return len(self.graph.tensors) - 1

    def source(self, position: int = 0) -> int:
        """The graph tensor of an activation input of the current operator."""
        index = self.op.inputs[position] if position < len(self.op.inputs) else -1
        if index in self.tensor_of:
            if self.file_tensor(index).dtype == "UINT8" and self.op.name != "QUANTIZE":
                raise ConversionError("uint8 networks are not supported, only int8")
            return self.tensor_of[index]
        if index >= 0 and self.constants.get(index) is not None:
            raise ConversionError(f"input {position} is a constant, not an activation")
        if index >= 0 and self.file_tensor(index).dtype != "INT8":
            raise ConversionError(
                f"works on {self.file_tensor(index).dtype}; only int8 networks are supported: "
                "quantise the model completely (inputs, weights and activations)"
            )
        raise ConversionError(f"input {position} is not produced by an earlier operator")

    def destination(self) -> int:
        """A new graph tensor for the output of the current operator."""
        index = self.op.outputs[0]
        if index in self.tensor_of:
            raise ConversionError("its output is produced twice")
        if self.file_tensor(index).dtype != "INT8" and self.op.name != "QUANTIZE":
            raise ConversionError(f"its output is {self.file_tensor(index).dtype}, not int8")
        self.tensor_of[index] = self.add_tensor(index)
        return self.tensor_of[index]

    def constant(self, position: int, what: str) -> FileTensor:
        index = self.op.inputs[position] if position < len(self.op.inputs) else -1
        if index < 0 or self.constants.get(index) is None:
            raise ConversionError(f"its {what} (input {position}) are not constant")
        info = self.file_tensor(index)
        if info.is_sparse:
            raise ConversionError(f"its {what} are sparse; only dense ones are supported")
        return info

    def integers(self, position: int, what: str) -> list[int]:
        index = self.op.inputs[position] if position < len(self.op.inputs) else -1
        value = self.constants.get(index) if index >= 0 else None
        if value is None or value.dtype.kind != "i":
            raise ConversionError(f"its {what} (input {position}) are not constant integers")
        return [int(v) for v in value.ravel()]

    def activation(self) -> Activation:
        value = self.op.options["FusedActivationFunction"]
        if value not in _ACTIVATIONS:
            raise ConversionError("its fused activation is not none, RELU, RELU6 or RELU_N1_TO_1")
        return _ACTIVATIONS[value]

    def name(self, kind: Kind) -> str:
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        return f"{kind.name.lower()}_{number}"

    def emit(self, kind: Kind, out: int, activation: Activation, **fields: Any) -> None:
        """Append an operator without weights that reads the current operator's first input."""
        inputs = fields.pop("inputs", None) or (self.source(),)
        clamp = clamp_fields(activation, self.graph.tensors[out])
        self.graph.ops.append(Op(self.name(kind), kind, inputs, out, **clamp, **fields))

    def emit_weighted(
        self, kind: Kind, source: int, out: int, weights: NDArray[np.int8], scales: Any,
        bias: NDArray[Any], **fields: Any,
    ) -> None:  # fmt: skip
        op = weighted_op(self.graph, kind, "", source, out, weights, bias, scales, **fields)
        op.name = self.name(op.kind)
        self.graph.ops.append(op)

    # Windows

    def windows(self, x: Tensor, y: Tensor, kernel: tuple[int, int]) -> dict[str, Any]:
        """kernel, stride and pads of the current operator; checks the output's size."""
        options = self.op.options
        if options.get("DilationHFactor", 1) != 1 or options.get("DilationWFactor", 1) != 1:
            raise ConversionError(
                f"dilation {options['DilationHFactor']}x{options['DilationWFactor']} is not "
                "supported, only 1"
            )
        stride = options["StrideH"], options["StrideW"]
        same = options["Padding"] == 0
        pads, sizes = [], []
        for size, k, s in zip((x.h, x.w), kernel, stride, strict=True):
            if s < 1 or k < 1:
                raise ConversionError(f"stride {stride} or kernel {kernel} below 1")
            count = (size + s - 1) // s if same else (size - k + s) // s
            total = max((count - 1) * s + k - size, 0) if same else 0
            pads.append((total // 2, total - total // 2))
            sizes.append(count)
        if tuple(sizes) != (y.h, y.w):
            raise ConversionError(
                f"the file says {y.h}x{y.w}, but its windows give {sizes[0]}x{sizes[1]}"
            )
        (top, bottom), (left, right) = pads
        return {"kernel": kernel, "stride": stride, "pads": (top, left, bottom, right)}

    # Operators

    def weights(self, channels: int, channel_axis: int) -> tuple[NDArray[np.int8], Any]:
        """int8 weights and one float32 scale per output channel."""
        info = self.constant(1, "weights")
        if info.dtype != "INT8" or info.data is None:
            raise ConversionError(f"its weights are {info.dtype}; only int8 is supported")
        if np.any(info.zero_points):
            raise ConversionError("its weights have zero points, only 0 is supported")
        count = info.scales.size
        if count not in (1, channels):
            raise ConversionError(f"{count} weight scales for {channels} output channels")
        dimension = info.quantized_dimension
        if count > 1 and dimension != channel_axis:
            if 0 <= dimension < len(info.shape):
                raise ConversionError(
                    f"its weights are quantised along dimension {dimension}; only along the "
                    f"output channels ({channel_axis})"
                )
            self.graph.notes.append(
                f"operator {self.op.index}: quantized_dimension {dimension} does not exist; taken "
                f"as {channel_axis} since there are {count} scales"
            )
        scales = np.broadcast_to(info.scales, (channels,)).astype(np.float32)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise ConversionError("a weight scale is not positive")
        return info.data, scales

    def bias(self, channels: int) -> NDArray[Any]:
        if len(self.op.inputs) < 3 or self.op.inputs[2] < 0:
            return np.zeros(channels, np.int32)
        info = self.constant(2, "biases")
        if info.dtype != "INT32" or info.data is None or info.data.size != channels:
            raise ConversionError(
                f"its biases are {info.dtype} {info.shape}; INT32 with {channels} entries needed"
            )
        return info.data.ravel()

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

    def same_scale(self, x: Tensor, y: Tensor) -> None:
        if abs(x.scale - y.scale) > 1e-6 * x.scale or x.zero_point != y.zero_point:
            raise ConversionError(
                f"input scale {x.scale} and zero point {x.zero_point} differ from the output's "
                f"{y.scale} and {y.zero_point}"
            )

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
        params = (*quantize_multiplier(x.scale / y.scale), 0, 0, 0, 0, 0, 0)
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
_HANDLERS: dict[str, Callable[[_Converter], None]] = {
    "CONV_2D": _Converter.conv2d,
    "DEPTHWISE_CONV_2D": _Converter.depthwise,
    "FULLY_CONNECTED": _Converter.fully_connected,
    "ADD": _Converter.add,
    "AVERAGE_POOL_2D": _Converter.pool,
    "MAX_POOL_2D": _Converter.pool,
    "MEAN": _Converter.mean,
    "PAD": _Converter.pad,
    "PADV2": _Converter.pad,
    "RESHAPE": _Converter.reshape,
    "SQUEEZE": _Converter.reshape,
    "EXPAND_DIMS": _Converter.reshape,
    "SOFTMAX": _Converter.softmax,
    "RELU": _Converter.requantize,
    "RELU6": _Converter.requantize,
    "RELU_N1_TO_1": _Converter.requantize,
    "QUANTIZE": _Converter.quantize,
    "DEQUANTIZE": _Converter.dequantize,
}
SUPPORTED = frozenset(_HANDLERS) | FOLDABLE
