"""What converting one TFLite operator needs: access to its tensors, and emitting operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError
from microtrain.fixed_point import Activation
from microtrain.graph import MAX_ELEMENTS, Graph, Kind, Op, Tensor, clamp_fields
from microtrain.importers.tflite_constants import Constants
from microtrain.importers.tflite_file import FileModel, FileOp, FileTensor
from microtrain.importers.weights import weighted_op

_ACTIVATIONS = {
    0: Activation.NONE, 1: Activation.RELU, 2: Activation.RELU_N1_TO_1, 3: Activation.RELU6
}  # fmt: skip


def shape3(shape: list[int]) -> tuple[int, int, int]:
    """h, w, c of a tensor with batch 1: the last three dimensions, those before must be 1."""
    padded = [1] * (3 - len(shape)) + shape
    h, w, c = padded[-3:]
    if any(v != 1 for v in padded[:-3]) or 0 in padded or h * w * c > MAX_ELEMENTS:
        raise ConversionError(
            f"shape {shape} has a batch other than 1, more than 3 dimensions or too many elements"
        )
    return h, w, c


class Context:
    """The graph being built and the operator being converted."""

    def __init__(self, model: FileModel, metadata: dict[str, Any]) -> None:
        self.model = model
        self.constants = Constants(model)
        self.graph = Graph([], [], 0, 0, metadata)
        self.tensor_of: dict[int, int] = {}  # file tensor -> int8 tensor of the graph
        self.float_of: dict[int, int] = {}  # float tensor after DEQUANTIZE -> the same
        self.counts: dict[Kind, int] = {}
        self.op: FileOp

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
        self.graph.tensors.append(Tensor(*shape3(info.shape), float(info.scales[0]), zero_point))
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

    def same_scale(self, x: Tensor, y: Tensor) -> None:
        if abs(x.scale - y.scale) > 1e-6 * x.scale or x.zero_point != y.zero_point:
            raise ConversionError(
                f"input scale {x.scale} and zero point {x.zero_point} differ from the output's "
                f"{y.scale} and {y.zero_point}"
            )
