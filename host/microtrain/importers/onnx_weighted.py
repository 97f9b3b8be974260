"""ONNX nodes with weights, and the arithmetic with constants that is folded into them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError
from microtrain.graph import WEIGHTED, Kind
from microtrain.importers.onnx_context import Context
from microtrain.importers.onnx_values import Activation, canonical, our_shape


class WeightedNodes(Context):
    """Conv, Gemm, MatMul, BatchNormalization, Add, Sub, Mul, Div."""

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
