"""Small ONNX models with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


class Net:
    """Nodes and initializers; `value` is the name of the last output, `rank` its dimensions."""

    def __init__(self, shape: list[Any], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.shape, self.value, self.rank = shape, "x", 2
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        fan_in = max(int(np.prod(shape[1:])), 1)
        return self.constant(self.random.normal(size=shape) * (2 / fan_in) ** 0.5)

    def positive(self, n: int) -> str:
        return self.constant(self.random.uniform(0.5, 1.5, n))

    def add(self, op: str, *operands: str, source: str | None = None, **attributes: Any) -> str:
        """Append a node that reads `source` (default: the last output) and `operands`."""
        out = f"v{len(self.nodes)}"
        inputs = [source or self.value, *operands]
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"/{op}_{out}", **attributes))
        self.value = out
        return out

    def norm(self, channels: int) -> str:
        return self.add(
            "BatchNormalization", self.positive(channels), self.weights(channels),
            self.weights(channels), self.positive(channels),
        )  # fmt: skip

    def model(self, opset: int = 17) -> Any:
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, [None] * self.rank)],
            self.initializers,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 9
        return model

    def save(self, path: Any) -> Any:
        onnx.save(self.model(), str(path))
        return path

    def run(self, x: Any) -> Any:
        """onnx.reference on a batch in ONNX layout."""
        return ReferenceEvaluator(self.model(opset=19)).run(None, {"x": x.astype(np.float32)})[0]


class QuantizedNet(Net):
    """Operators between QuantizeLinear and DequantizeLinear, as onnxruntime writes them."""

    def pair(self, scale: float, zero_point: int) -> str:
        operands = (self.constant(scale), self.constant(zero_point, np.uint8))
        self.add("QuantizeLinear", *operands)
        return self.add("DequantizeLinear", *operands)

    def quantized_weights(self, *shape: int, axis: int = 0, extreme: bool = False) -> str:
        values = self.random.integers(-127, 128, shape)
        if extreme:
            values.flat[:3] = -128
        scales = self.random.uniform(0.002, 0.01, shape[axis])
        zeros = self.constant(np.zeros(shape[axis]), np.int8)
        return self.fixed(self.constant(values, np.int8), self.constant(scales), zeros, axis)

    def fixed(self, values: str, scale: str, zero: str, axis: int = 0) -> str:
        before = self.value
        name = self.add("DequantizeLinear", scale, zero, source=values, axis=axis)
        self.value = before
        return name


def quantized_net() -> QuantizedNet:
    net = QuantizedNet([1, 3, 8, 8])
    net.pair(0.02, 120)
    net.add("Conv", net.quantized_weights(6, 3, 3, 3, extreme=True), pads=[1, 1, 1, 1])
    net.add("Relu")
    first = net.pair(0.03, 0)
    net.add("Conv", net.quantized_weights(6, 1, 3, 3), pads=[1, 1, 1, 1], group=6)
    net.pair(0.02, 0)  # a relu that is only in the range
    net.add("Conv", net.quantized_weights(6, 6, 1, 1))
    net.pair(0.04, 100)
    net.add("Add", first)
    net.pair(0.05, 90)
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.pair(0.041, 95)
    net.add("AveragePool", kernel_shape=[3, 3])  # of 9: no ties, which are rounded differently
    net.pair(0.041, 95)
    net.add("Flatten")
    net.add("Gemm", net.quantized_weights(5, 24, extreme=True), net.weights(5), transB=1)
    net.pair(0.06, 128)
    return net


def mobile_net() -> Net:
    """Inverted residuals in 2-D, global pooling, a Gemm; every fold and fusion."""
    net = Net(["N", 3, 16, 16])
    net.add("Conv", net.weights(8, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1])
    net.norm(8)
    block = net.add("Clip", net.constant(0), net.constant(6))
    net.add("Conv", net.weights(16, 8, 1, 1), net.weights(16))
    net.norm(16)
    net.add("Relu")
    net.add("Conv", net.weights(16, 1, 3, 3), pads=[1, 1, 1, 1], group=16)
    net.norm(16)
    net.add("Clip", net.constant(0), net.constant(6))
    projected = net.add("Conv", net.weights(8, 16, 1, 1), net.weights(8))
    net.add("Add", block, source=projected)
    net.add("Pad", net.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64))
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.add("Conv", net.weights(12, 8, 3, 3), auto_pad="SAME_UPPER")
    net.add("Relu")
    net.add("GlobalAveragePool")
    net.add("Flatten")
    net.add("Gemm", net.weights(5, 12), net.weights(5), transB=1)
    return net


def signal_net() -> Net:
    """1-D convolutions, Flatten of a map in front of a dense layer, MatMul and Add."""
    net = Net([1, 6, 40])
    net.add("Mul", net.constant(0.5))
    net.add("Conv", net.weights(8, 6, 5), strides=[2], pads=[2, 2])
    net.norm(8)
    net.add("Relu")
    net.add("Conv", net.weights(16, 1, 3), net.weights(16), pads=[1, 1], group=8)
    net.add("AveragePool", kernel_shape=[2], strides=[2])
    net.add("Reshape", net.constant([0, -1], np.int64))
    net.add("MatMul", net.weights(160, 10))
    net.add("Add", net.weights(10))
    net.add("Relu")
    net.add("Gemm", net.weights(10, 4), net.weights(4))
    return net


def keras_net() -> Net:
    """As converters from channels-last frameworks write it: transposes at the ends."""
    net = Net([1, 10, 8, 3])
    net.add("Transpose", perm=[0, 3, 1, 2])
    net.add("Conv", net.weights(4, 3, 3, 3))
    net.add("Relu")
    net.add("Transpose", perm=[0, 2, 3, 1])
    net.add("Reshape", net.constant([1, -1], np.int64))
    net.add("Gemm", net.constant(net.random.normal(size=(192, 3)) / 192**0.5))
    net.add("Softmax")
    return net
