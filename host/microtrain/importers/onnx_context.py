"""What converting one ONNX node needs: access to its inputs, and emitting operators."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from microtrain import fixed_point
from microtrain.errors import ConversionError
from microtrain.float_graph import FloatGraph, FloatOp
from microtrain.graph import KEEPS_SCALE, MAX_NAME_BYTES, Kind
from microtrain.importers.onnx_values import Activation, Value, canonical, our_shape


class Context:
    """The graph being built and the node being converted."""

    def __init__(self, source: Any, opsets: list[Any], metadata: dict[str, Any]) -> None:
        self.source, self.opsets = source, opsets
        self.graph = FloatGraph([], metadata=metadata)
        self.values: dict[str, Value] = {}
        self.node: Any = None
        self.uses = Counter(name for node in source.node for name in node.input if name)
        self.uses.update(output.name for output in source.output)
        self.names: set[str] = set()
        self.shared: set[str] = set()  # values whose tensor has readers under another name
        self.scales: dict[str, tuple[NDArray[np.float32], int]] = {}  # of weights, with the axis

    def evaluate(self, feeds: dict[str, Any]) -> list[Any]:
        """The current node's outputs for constant inputs, by onnx's reference implementation."""
        inputs = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in feeds.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in self.node.output if name]
        graph = helper.make_graph([self.node], "node", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.opsets)
        try:
            return list(ReferenceEvaluator(model).run(None, feeds))
        except Exception as error:  # whatever the evaluator raises on operands it cannot handle
            shapes = [list(v.shape) for v in feeds.values()]
            raise ConversionError(f"cannot be computed at import on {shapes}: {error}") from error

    # Access

    def attribute(self, name: str, default: Any = None) -> Any:
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def activation(self, position: int = 0) -> Activation:
        value = self.values[self.node.input[position]]
        if not isinstance(value, Activation):
            raise ConversionError(f"input {position} is a constant; an activation is expected")
        return value

    def constant(self, position: int, what: str) -> NDArray[Any] | None:
        """A constant input, None if it is absent; an activation there is refused."""
        if position >= len(self.node.input) or not self.node.input[position]:
            return None
        value = self.values[self.node.input[position]]
        if isinstance(value, Activation):
            raise ConversionError(f"its {what} (input {position}) must be constant")
        if what not in ("min", "max"):
            self.check_finite(value, what)
        return value

    @staticmethod
    def check_finite(value: NDArray[Any], what: str) -> None:
        """Refuse NaN and infinity."""
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ConversionError(f"its {what} contain NaN or infinity")

    def required(self, position: int, what: str) -> NDArray[Any]:
        """A constant input that must be there."""
        value = self.constant(position, what)
        if value is None:
            raise ConversionError(f"its {what} (input {position}) are missing")
        return value

    def weight_scale(self, axis: int, channels: int) -> NDArray[np.float32] | None:
        """The scales of weights (input 1) that came quantised along the output channels."""
        scales, given_axis = self.scales.get(self.node.input[1], (None, 0))
        if scales is None or (scales.size > 1 and given_axis != axis):
            return None
        return np.broadcast_to(scales.ravel(), (channels,)).astype(np.float32)

    def integers(self, position: int, name: str) -> list[int] | None:
        """Integers that newer versions of an operator take as an input, older as an attribute."""
        value = self.constant(position, name)
        if value is None:
            value = self.attribute(name)
        return None if value is None else [int(v) for v in np.ravel(value)]

    def canonical_input(self, position: int = 0) -> Activation:
        """An input stored channels-last in its own shape, by a reshape operator if needed."""
        value = self.activation(position)
        if not np.array_equal(value.flat_order(), canonical(value.shape).ravel()):
            raise ConversionError(
                f"reads its input {list(value.shape)} in another memory order than it was written "
                "in (a transpose or reshape before it that is not a no-op channels-last)"
            )
        shape = our_shape(value.shape)
        if shape == self.graph.shapes[value.tensor]:
            return value
        return self.emit(Kind.RESHAPE, value.tensor, shape, value.shape, name=f"{self.label()}_in")

    def producer(self, position: int = 0) -> FloatOp | None:
        """The operator that made an input if nothing else reads it and it has no activation."""
        value = self.activation(position)
        name = self.node.input[position]
        if self.uses[name] != 1 or name in self.shared:
            return None
        for op in reversed(self.graph.ops):
            if op.output == value.tensor and value.tensor not in self.graph.quantization:
                return op if op.activation is fixed_point.Activation.NONE else None
        return None

    def label(self) -> str:
        return (self.node.name or self.node.op_type).lstrip("/")

    def unique(self, name: str) -> str:
        name = name.replace("\0", "")
        candidate, number = name.encode()[-MAX_NAME_BYTES:].decode(errors="ignore"), 1
        while candidate in self.names or not candidate:
            suffix = f"_{number}"
            candidate = (
                name.encode()[: MAX_NAME_BYTES - len(suffix)].decode(errors="ignore") + suffix
            )
            number += 1
        self.names.add(candidate)
        return candidate

    # Results

    def emit(
        self, kind: Kind, source: int, shape: tuple[int, int, int], onnx_shape: tuple[int, ...],
        name: str | None = None, inputs: tuple[int, ...] = (), **fields: Any,
    ) -> Activation:  # fmt: skip
        """Append an operator; its output is `shape`, seen as an ONNX array of `onnx_shape`."""
        if min(shape) < 1:
            raise ConversionError(f"its output would be empty: {shape}")
        self.graph.shapes.append(shape)
        out = len(self.graph.shapes) - 1
        name = self.unique(name or self.label())
        self.graph.ops.append(FloatOp(name, kind, inputs or (source,), out, **fields))
        if kind is Kind.SOFTMAX:
            self.graph.quantization[out] = (1 / 256, -128)
        elif kind in KEEPS_SCALE and source in self.graph.quantization:
            self.graph.quantization[out] = self.graph.quantization[source]
        return Activation(out, canonical(onnx_shape))

    def give(self, value: Value) -> None:
        """`value` is the node's output."""
        for name in self.node.input:
            source = self.values.get(name)
            if isinstance(source, Activation) and isinstance(value, Activation):
                aliased = source.tensor == value.tensor
                if aliased and (self.uses[name] != 1 or name in self.shared):
                    self.shared.add(self.node.output[0])
        self.values[self.node.output[0]] = value

    # Windows

    def windows(self, value: Activation, kernel: list[int]) -> dict[str, Any]:
        """kernel, stride, pads and the output's spatial size of a convolution or pool."""
        rank = len(value.shape) - 2
        if rank not in (1, 2) or len(kernel) != rank:
            raise ConversionError(f"input {list(value.shape)}; only 1-D and 2-D are supported")
        if any(d != 1 for d in self.attribute("dilations", [1] * rank)):
            raise ConversionError(f"dilations {self.attribute('dilations')}; only 1 is supported")
        strides = list(self.attribute("strides", [1] * rank))
        pads = list(self.attribute("pads", [0] * 2 * rank))
        if min(*kernel, *strides) < 1 or min(pads) < 0:
            raise ConversionError(
                f"kernel {kernel}, strides {strides}, pads {pads} are impossible"
            )
        auto_pad = self.attribute("auto_pad", "NOTSET")
        sizes = []
        for axis, (size, k, s) in enumerate(zip(value.shape[2:], kernel, strides, strict=True)):
            if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
                total = max((-(-size // s) - 1) * s + k - size, 0)
                small, large = total // 2, total - total // 2
                pads[axis], pads[axis + rank] = (
                    (small, large) if auto_pad == "SAME_UPPER" else (large, small)
                )
            covered = size + pads[axis] + pads[axis + rank] - k
            if self.attribute("ceil_mode", 0) and covered % s:
                raise ConversionError("ceil_mode with a partial last window is not supported")
            sizes.append(covered // s + 1)
        if rank == 1:
            kernel, strides, sizes = [1, *kernel], [1, *strides], [1, *sizes]
            pads = [0, pads[0], 0, pads[1]]
        return {
            "kernel": tuple(kernel), "stride": tuple(strides), "pads": tuple(pads),
            "sizes": tuple(sizes),
        }  # fmt: skip

    def emit_windows(
        self, kind: Kind, value: Activation, channels: int, fields: dict[str, Any]
    ) -> None:
        h, w = fields.pop("sizes")
        spatial = (h, w) if len(value.shape) == 4 else (w,)
        self.give(
            self.emit(kind, value.tensor, (h, w, channels), (1, channels, *spatial), **fields)
        )
