"""Convert the nodes of a float ONNX graph into a channels-last float graph.

Batch normalisation and constant factors are folded into the operator before, activations fused,
reshapes and transposes resolved at import time where only linear operators read the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from microtrain import fixed_point
from microtrain.errors import ConversionError
from microtrain.float_graph import FloatGraph
from microtrain.graph import KEEPS_SCALE, MAX_ELEMENTS, WEIGHTED, Kind
from microtrain.importers.onnx_context import Context
from microtrain.importers.onnx_values import Activation, canonical, our_shape

# What handlers raise on nodes with impossible operands, which the checker lets through.
_MALFORMED = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)


def convert(model: Any, metadata: dict[str, Any]) -> FloatGraph:
    """The float graph of a checked ONNX model. Raises ConversionError."""
    return _Converter(model.graph, list(model.opset_import), metadata).run()


class _Converter(Context):
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

    # Nodes

    def conv(self) -> None:
        value = self.canonical_input()
        weights = self.required(1, "weights")
        bias = self.constant(2, "bias")
        if weights.ndim == 3:
            weights = weights[:, :, np.newaxis, :]
        out_c, in_c = weights.shape[:2]
        group, channels = self.attribute("group", 1), value.shape[1]
        if in_c * group != channels:
            raise ConversionError(f"weights for {in_c * group} channels, the input has {channels}")
        fields = self.windows(value, list(weights.shape[4 - len(value.shape) + 2 :]))
        fields["weight_scale"] = self.weight_scale(0, out_c)
        fields["bias"] = np.zeros(out_c, np.float32) if bias is None else bias.astype(np.float32)
        if group == 1:
            kind = Kind.CONV2D
            fields["weights"] = weights.transpose(0, 2, 3, 1).astype(np.float32)
        elif group == channels and out_c % channels == 0:
            kind = Kind.DEPTHWISE_CONV2D
            fields["weights"] = weights[:, 0].transpose(1, 2, 0).astype(np.float32)
            fields["channel_multiplier"] = out_c // channels
        else:
            raise ConversionError(
                f"{group} groups of {channels} channels; only 1 or one for each channel"
            )
        self.emit_windows(kind, value, out_c, fields)

    def linear(
        self, weights: NDArray[Any], bias: NDArray[Any] | None, scale: NDArray[Any] | None
    ) -> None:
        """weights (in, out) applied to [1, in]; the columns follow our storage order."""
        value = self.activation()
        size = value.places.size
        if value.shape[-1] != size or weights.ndim != 2 or weights.shape[0] != size:
            raise ConversionError(
                f"multiplies {list(value.shape)} by {list(weights.shape)}; only one vector times "
                "a matrix is supported"
            )
        ours = np.empty((weights.shape[1], size), np.float32)
        ours[:, value.flat_order()] = weights.T
        out = weights.shape[1]
        if bias is None:
            bias = np.zeros(out, np.float32)
        bias = np.broadcast_to(bias.ravel(), (out,)).astype(np.float32)
        shape = (*value.shape[:-1], out)
        result = self.emit(
            Kind.LINEAR, value.tensor, (1, 1, out), (1, out), weights=ours, bias=bias,
            weight_scale=scale,
        )  # fmt: skip
        self.give(Activation(result.tensor, result.places.reshape(shape)))

    def gemm(self) -> None:
        if self.attribute("transA", 0):
            raise ConversionError("transA is not supported")
        weights, bias = self.required(1, "weights"), self.constant(2, "bias")
        transposed, alpha = self.attribute("transB", 0), self.attribute("alpha", 1.0)
        weights = weights.T if transposed else weights
        scale = self.weight_scale(0 if transposed else 1, weights.shape[-1])
        self.linear(
            weights * alpha,
            None if bias is None else bias * self.attribute("beta", 1.0),
            scale if alpha == 1 else None,
        )

    def matmul(self) -> None:
        weights = self.required(1, "weights")
        self.linear(weights, None, self.weight_scale(1, weights.shape[-1]))

    def affine(self, factor: NDArray[Any], offset: NDArray[Any]) -> None:
        """y = factor · x + offset for each channel, folded into the operator before."""
        value, op = self.activation(), self.producer()
        if op is not None and op.kind in WEIGHTED and self._keeps_channels(value):
            assert op.weights is not None and op.bias is not None
            column = (
                factor
                if op.kind is Kind.DEPTHWISE_CONV2D
                else factor.reshape(-1, *[1] * (op.weights.ndim - 1))
            )
            op.weights = (op.weights * column).astype(np.float32)
            op.bias = (op.bias * factor + offset).astype(np.float32)
            if (factor != 1).any():
                op.weight_scale = None
            self.give(value)
            return
        value = self.canonical_input()
        shape = self.graph.shapes[value.tensor]
        self.give(
            self.emit(
                Kind.DEPTHWISE_CONV2D, value.tensor, shape, value.shape,
                weights=factor.reshape(1, 1, -1).astype(np.float32),
                bias=offset.astype(np.float32),
            )
        )  # fmt: skip

    def _keeps_channels(self, value: Activation) -> bool:
        """Whether axis 1 of the ONNX array is the channels of our tensor."""
        if self.graph.shapes[value.tensor] != our_shape(value.shape):
            return False
        return np.array_equal(value.places, canonical(value.shape))

    def batch_normalization(self) -> None:
        scale, shift, mean, variance = (self.required(i, "parameters") for i in range(1, 5))
        variance = variance.astype(np.float64) + self.attribute("epsilon", 1e-5)
        if (variance <= 0).any():
            raise ConversionError("its variance is not positive")
        factor = scale / np.sqrt(variance)
        self.affine(factor, shift - mean * factor)

    def arithmetic(self) -> None:
        """Add of two activations; Add, Sub, Mul or Div of an activation and a constant."""
        kind = self.node.op_type
        first, second = (self.values[name] for name in self.node.input)
        if isinstance(first, Activation) and isinstance(second, Activation):
            if kind != "Add" or first.shape != second.shape:
                raise ConversionError(
                    f"works on {list(first.shape)} and {list(second.shape)}; only Add of equal "
                    "shapes is supported"
                )
            if not np.array_equal(first.places, second.places):
                raise ConversionError("adds values that are stored in different orders")
            shape = self.graph.shapes[first.tensor]
            if shape != self.graph.shapes[second.tensor]:
                raise ConversionError("adds values that are stored in different shapes")
            added = self.emit(
                Kind.ADD, first.tensor, shape, (1, shape[2], *shape[:2]),
                inputs=(first.tensor, second.tensor),
            )  # fmt: skip
            self.give(Activation(added.tensor, first.places))
            return
        if isinstance(first, Activation):
            value, constant = first, second
        else:
            assert isinstance(second, Activation)
            value, constant = second, first
            if kind in ("Sub", "Div"):
                raise ConversionError("a constant minus or divided by an activation")
            self.node.input[:] = [self.node.input[1], self.node.input[0]]
        assert not isinstance(constant, Activation)
        self.check_finite(constant, "constants")
        per_channel = self._per_channel(value, constant.astype(np.float64))
        one, zero = np.ones_like(per_channel), np.zeros_like(per_channel)
        if kind in ("Add", "Sub"):
            self.affine(one, per_channel if kind == "Add" else -per_channel)
        else:
            if kind == "Div" and not per_channel.all():
                raise ConversionError("divides by 0")
            self.affine(per_channel if kind == "Mul" else 1 / per_channel, zero)

    @staticmethod
    def _per_channel(value: Activation, constant: NDArray[Any]) -> NDArray[Any]:
        """A constant operand as one number a channel (axis 1, or the last one of vectors)."""
        channels = value.shape[1]
        if constant.size == 1:
            return np.full(channels, float(constant.ravel()[0]))
        shape = (1,) * (len(value.shape) - constant.ndim) + constant.shape
        if shape != (1, channels, *[1] * (len(value.shape) - 2)):
            raise ConversionError(
                f"combines {list(value.shape)} with a constant {list(constant.shape)}; only one "
                "number for each channel is supported"
            )
        return constant.ravel()

    def relu(self) -> None:
        self._fuse(fixed_point.Activation.RELU)

    def clip(self) -> None:
        low, high = (
            self.constant(i, name) if len(self.node.input) > 1 else self.attribute(name)
            for i, name in ((1, "min"), (2, "max"))
        )
        bounds = (
            -np.inf if low is None else float(np.ravel(low)[0]),
            np.inf if high is None else float(np.ravel(high)[0]),
        )
        known = {
            (0.0, 6.0): fixed_point.Activation.RELU6,
            (0.0, np.inf): fixed_point.Activation.RELU,
            (-1.0, 1.0): fixed_point.Activation.RELU_N1_TO_1,
        }
        if bounds not in known:
            raise ConversionError(f"clips to {bounds}; only (0, 6), (0, inf) and (-1, 1)")
        self._fuse(known[bounds])

    def _fuse(self, activation: fixed_point.Activation) -> None:
        value, op = self.activation(), self.producer()
        if op is not None and op.kind in (*WEIGHTED, Kind.ADD, Kind.MEAN):
            op.activation = activation
            self.give(value)
            return
        shape = self.graph.shapes[value.tensor]
        result = self.emit(
            Kind.REQUANTIZE, value.tensor, shape, (1, shape[2], *shape[:2]), activation=activation
        )
        self.give(Activation(result.tensor, value.places))

    def pool(self) -> None:
        value = self.canonical_input()
        fields = self.windows(value, list(self.attribute("kernel_shape")))
        average = self.node.op_type == "AveragePool"
        if average and any(fields["pads"]) and self.attribute("count_include_pad", 0):
            raise ConversionError("count_include_pad with pads is not supported")
        kind = Kind.AVERAGE_POOL if average else Kind.MAX_POOL
        self.emit_windows(kind, value, value.shape[1], fields)

    def global_average_pool(self) -> None:
        self._mean([*range(2, len(self.activation().shape))], True)

    def reduce_mean(self) -> None:
        rank = len(self.activation().shape)
        axes = self.integers(1, "axes")
        axes = [*range(rank)] if axes is None else [a + rank if a < 0 else a for a in axes]
        self._mean(sorted(axes), bool(self.attribute("keepdims", 1)))

    def _mean(self, axes: list[int], keep: bool) -> None:
        value = self.canonical_input()
        if axes != [*range(2, len(value.shape))] or not axes:
            raise ConversionError(
                f"means over axes {axes} of {list(value.shape)}; only over all spatial ones"
            )
        c = value.shape[1]
        shape = (1, c, *[1] * len(axes)) if keep else (1, c)
        self.give(self.emit(Kind.MEAN, value.tensor, (1, 1, c), shape))

    def pad(self) -> None:
        value = self.canonical_input()
        rank = len(value.shape)
        amounts = self.integers(1, "pads") or []
        fill = self.constant(2, "value")
        if self.attribute("mode", "constant") != "constant" or (fill is not None and np.any(fill)):
            raise ConversionError("only constant padding with 0 is supported")
        if self.constant(3, "axes") is not None or len(amounts) != 2 * rank or min(amounts) < 0:
            raise ConversionError(f"pads {amounts}; one pair of numbers >= 0 for each dimension")
        if any(amounts[:2]) or any(amounts[rank : rank + 2]):
            raise ConversionError(f"pads {amounts}; only spatial dimensions may be padded")
        first, second = ([0, *amounts[at + 2 : at + rank]][-2:] for at in (0, rank))
        top, left, bottom, right = (*first, *second)
        h, w, c = self.graph.shapes[value.tensor]
        shape = (h + top + bottom, w + left + right, c)
        spatial = shape[:2] if rank == 4 else shape[1:2]
        self.give(
            self.emit(
                Kind.PAD, value.tensor, shape, (1, c, *spatial), pads=(top, left, bottom, right)
            )
        )

    def softmax(self) -> None:
        value = self.activation()
        axis = self.attribute("axis", -1)
        if value.places.size != value.shape[axis]:
            raise ConversionError(f"over axis {axis} of {list(value.shape)}; only over all values")
        if self.node.op_type == "LogSoftmax":
            self.graph.notes.append(f"{self.label()} dropped: the image ends at the logits")
            self.give(value)
            return
        shape = self.graph.shapes[value.tensor]
        if shape[:2] != (1, 1):
            raise ConversionError(f"over a map of {shape}; only over vectors")
        result = self.emit(Kind.SOFTMAX, value.tensor, shape, (1, shape[2]))
        self.give(Activation(result.tensor, value.places))

    # Quantised models: QuantizeLinear and DequantizeLinear in pairs

    def quantize(self) -> None:
        """Take over scale and zero point that the model has chosen for a tensor."""
        value = self.activation()
        scale, zero = self.required(1, "scale"), self.constant(2, "zero point")
        if zero is None:
            zero = np.zeros(1, np.uint8)
        if scale.size != 1 or zero.size != 1 or zero.dtype not in (np.int8, np.uint8):
            raise ConversionError("activations need one scale and an int8 or uint8 zero point")
        shift = 128 if zero.dtype == np.uint8 else 0
        chosen = (float(np.float32(scale.ravel()[0])), int(zero.ravel()[0]) - shift)
        if not (np.isfinite(chosen[0]) and chosen[0] > 0):
            raise ConversionError(f"scale {chosen[0]} is not positive")
        producer = next((op for op in self.graph.ops if op.output == value.tensor), None)
        known = self.graph.quantization.get(value.tensor)
        if known is None and producer is not None and producer.kind in KEEPS_SCALE:
            known = (0.0, 0)  # unknown, but not to be chosen here
        if known not in (None, chosen):
            shape = self.graph.shapes[value.tensor]
            result = self.emit(Kind.REQUANTIZE, value.tensor, shape, (1, shape[2], *shape[:2]))
            value = Activation(result.tensor, value.places)
        elif (
            producer is not None
            and producer.kind in WEIGHTED
            and producer.activation is fixed_point.Activation.NONE
            and chosen[1] == -128
        ):
            # Quantisers leave out a relu that the range implies.
            producer.activation = fixed_point.Activation.RANGE
        self.graph.quantization[value.tensor] = chosen
        self.give(value)

    # Layout: only `places` changes

    def view(self) -> None:
        """Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Identity and their like."""
        value = self.activation()
        feeds: dict[str, Any] = {self.node.input[0]: value.places}
        for position, name in enumerate(self.node.input[1:], 1):
            if name:
                feeds[name] = self.constant(position, "operand")
        places = np.asarray(self.evaluate(feeds)[0])
        if places.size != value.places.size or places.ndim > 8:
            raise ConversionError(f"turns {list(value.shape)} into {list(places.shape)}")
        self.give(Activation(value.tensor, places))

    def identity(self) -> None:
        """Dropout and Identity; Cast between float types."""
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        if self.node.op_type == "Cast" and self.attribute("to") not in floats:
            raise ConversionError("casts an activation to integers")
        self.give(self.activation())


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
