"""ONNX nodes without weights: activations, pools, quantisation, and changes of layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from microtrain import fixed_point
from microtrain.errors import ConversionError
from microtrain.graph import KEEPS_SCALE, WEIGHTED, Kind
from microtrain.importers.onnx_context import Context
from microtrain.importers.onnx_values import Activation


class PlainNodes(Context):
    """Everything but arithmetic."""

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
