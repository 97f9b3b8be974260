"""Every TFLite operator we import, over generated shapes, against LiteRT's reference kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executors import EXECUTORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litert import Reference
from tflite_builder import Builder, options

from microtrain.importers.tflite import convert
from microtrain.importers.tflite_file import read_tflite

ACTIVATIONS = st.sampled_from([0, 1, 2, 3])  # none, RELU, RELU_N1_TO_1, RELU6
pytestmark = pytest.mark.parametrize("executor", EXECUTORS)
generated = settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@st.composite
def quantizations(draw: Any) -> tuple[float, int]:
    return float(np.float32(draw(st.floats(0.005, 0.5)))), draw(st.integers(-128, 127))


def agree(model: bytes, executor: Any, seed: int, tolerance: int = 0) -> None:
    """Three random inputs, one of them at the extremes, give the same bytes as LiteRT."""
    reference = Reference(model)
    graph = convert(read_tflite(model), {})
    run = executor(graph)
    random = np.random.default_rng(seed)
    for case in range(3):
        x = random.integers(-128, 128, reference.shape).astype(np.int8)
        if case == 2:
            x = np.where(x < 0, -128, 127).astype(np.int8)
        expected = reference.run(x)
        difference = np.abs(run(x).ravel().astype(int) - expected)
        assert difference.max() <= tolerance, (case, difference.max())


def windowed(
    builder: Builder,
    x: int,
    shape: list[int],
    out: Any,
    same: bool,
    kernel: Any,
    stride: Any,
    channels: int,
) -> int | None:
    """The output tensor of a convolution or pool; None if it would be empty."""
    sizes = []
    for size, k, s in zip(shape[1:3], kernel, stride, strict=True):
        sizes.append(-(-size // s) if same else (size - k) // s + 1)
    if min(sizes) < 1:
        return None
    return builder.tensor([1, *sizes, channels], scale=out[0], zero_point=out[1])


@generated
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), in_c=st.integers(1, 5), out_c=st.integers(1, 6),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), same=st.booleans(),
    depthwise=st.booleans(), per_channel=st.booleans(), bias=st.booleans(), activation=ACTIVATIONS,
    source=quantizations(), out=quantizations(), seed=st.integers(0, 99),
)  # fmt: skip
def test_convolutions(
    executor: Any, h: int, w: int, in_c: int, out_c: int, kernel: Any, stride: Any, same: bool,
    depthwise: bool, per_channel: bool, bias: bool, activation: int, source: Any, out: Any,
    seed: int,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    multiplier = out_c % 3 + 1
    channels = in_c * multiplier if depthwise else out_c
    builder = Builder()
    x = builder.tensor([1, h, w, in_c], scale=source[0], zero_point=source[1])
    shape = [1, *kernel, channels] if depthwise else [channels, *kernel, in_c]
    scales = random.uniform(0.001, 0.05, channels if per_channel else 1)
    weights = builder.tensor(
        shape, scale=scales, dimension=3 if depthwise else 0,
        data=random.integers(-127, 128, shape).astype(np.int8),
    )  # fmt: skip
    inputs = [x, weights]
    if bias or not depthwise:  # LiteRT insists on a bias for CONV_2D
        values = random.integers(-20000, 20000, channels).astype(np.int32)
        bias_scales = scales.astype(np.float32) * np.float32(source[0])
        inputs.append(builder.tensor([channels], "int32", bias_scales, data=values))
    y = windowed(builder, x, [1, h, w], out, same, kernel, stride, channels)
    if y is None:
        return
    common = dict(
        padding=0 if same else 1, strideH=stride[0], strideW=stride[1], dilationHFactor=1,
        dilationWFactor=1, fusedActivationFunction=activation,
    )  # fmt: skip
    if depthwise:
        made = options("DepthwiseConv2D", depthMultiplier=multiplier, **common)
        builder.op("DEPTHWISE_CONV_2D", inputs, [y], made)
    else:
        builder.op("CONV_2D", inputs, [y], options("Conv2D", **common))
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    inputs=st.integers(1, 40), outputs=st.integers(1, 12), per_channel=st.booleans(),
    wide=st.booleans(), activation=ACTIVATIONS, source=quantizations(), out=quantizations(),
    power_of_two=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_fully_connected(
    executor: Any, inputs: int, outputs: int, per_channel: bool, wide: bool, activation: int,
    source: Any, out: Any, power_of_two: bool, seed: int,
) -> None:  # fmt: skip
    """With weights of -128 (`wide`), and with scales that make exact ties (`power_of_two`)."""
    random = np.random.default_rng(seed)
    scales = random.uniform(0.001, 0.05, outputs if per_channel else 1)
    if power_of_two:
        source, out, scales = (0.25, source[1]), (0.5, out[1]), np.full_like(scales, 1 / 64)
    builder = Builder()
    x = builder.tensor([1, inputs], scale=source[0], zero_point=source[1])
    data = random.integers(-128 if wide else -127, 128, (outputs, inputs)).astype(np.int8)
    weights = builder.tensor([outputs, inputs], scale=scales, data=data)
    bias_scales = scales.astype(np.float32) * np.float32(source[0])
    bias = builder.tensor(
        [outputs], "int32", bias_scales, data=random.integers(-3000, 3000, outputs).astype("i4")
    )
    y = builder.tensor([1, outputs], scale=out[0], zero_point=out[1])
    made = options("FullyConnected", fusedActivationFunction=activation)
    builder.op("FULLY_CONNECTED", [x, weights, bias], [y], made)
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    h=st.integers(1, 6), w=st.integers(1, 6), c=st.integers(1, 5), activation=ACTIVATIONS,
    first=quantizations(), second=quantizations(), out=quantizations(), seed=st.integers(0, 99),
)  # fmt: skip
def test_add(
    executor: Any, h: int, w: int, c: int, activation: int, first: Any, second: Any, out: Any,
    seed: int,
) -> None:  # fmt: skip
    """x plus a requantised x, so that both operands differ in scale."""
    builder = Builder()
    x = builder.tensor([1, h, w, c], scale=first[0], zero_point=first[1])
    other = builder.tensor([1, h, w, c], scale=second[0], zero_point=second[1])
    y = builder.tensor([1, h, w, c], scale=out[0], zero_point=out[1])
    builder.op("QUANTIZE", [x], [other], options("Quantize"))
    builder.op("ADD", [x, other], [y], options("Add", fusedActivationFunction=activation))
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), c=st.integers(1, 5), average=st.booleans(),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)), same=st.booleans(),
    activation=ACTIVATIONS, source=quantizations(), seed=st.integers(0, 99),
)  # fmt: skip
def test_pools(
    executor: Any, h: int, w: int, c: int, average: bool, kernel: Any, stride: Any, same: bool,
    activation: int, source: Any, seed: int,
) -> None:  # fmt: skip
    builder = Builder()
    x = builder.tensor([1, h, w, c], scale=source[0], zero_point=source[1])
    y = windowed(builder, x, [1, h, w], source, same, kernel, stride, c)
    if y is None:
        return
    made = options(
        "Pool2D", padding=0 if same else 1, strideH=stride[0], strideW=stride[1],
        filterHeight=kernel[0], filterWidth=kernel[1], fusedActivationFunction=activation,
    )  # fmt: skip
    builder.op("AVERAGE_POOL_2D" if average else "MAX_POOL_2D", [x], [y], made)
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    h=st.integers(1, 12), w=st.integers(1, 12), c=st.integers(1, 5), keep=st.booleans(),
    equal=st.booleans(), source=quantizations(), out=quantizations(), seed=st.integers(0, 99),
)  # fmt: skip
def test_mean(
    executor: Any, h: int, w: int, c: int, keep: bool, equal: bool, source: Any, out: Any,
    seed: int,
) -> None:  # fmt: skip
    out = source if equal else out
    builder = Builder()
    x = builder.tensor([1, h, w, c], scale=source[0], zero_point=source[1])
    axes = builder.tensor([2], "int32", data=np.array([1, -2], np.int32))
    shape = [1, 1, 1, c] if keep else [1, c]
    y = builder.tensor(shape, scale=out[0], zero_point=out[1])
    builder.op("MEAN", [x, axes], [y], options("Reducer", keepDims=keep))
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    name=st.sampled_from(["RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"]), source=quantizations(),
    out=quantizations(), equal=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_requantisation(
    executor: Any, name: str, source: Any, out: Any, equal: bool, seed: int
) -> None:
    out = source if equal else out
    builder = Builder()
    x = builder.tensor([1, 4, 5, 3], scale=source[0], zero_point=source[1])
    y = builder.tensor([1, 4, 5, 3], scale=out[0], zero_point=out[1])
    builder.op(name, [x], [y], options("Quantize") if name == "QUANTIZE" else None)
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(
    pads=st.tuples(*[st.integers(0, 3)] * 4), c=st.integers(1, 4), source=quantizations(),
    out=quantizations(), convolve=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_pad(
    executor: Any, pads: Any, c: int, source: Any, out: Any, convolve: bool, seed: int
) -> None:
    """Alone, and in front of a convolution into which it is fused where the kernel allows."""
    top, left, bottom, right = pads
    random = np.random.default_rng(seed)
    builder = Builder()
    x = builder.tensor([1, 5, 4, c], scale=source[0], zero_point=source[1])
    amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    pad = builder.tensor([4, 2], "int32", data=amounts)
    h, w = 5 + top + bottom, 4 + left + right
    y = builder.tensor([1, h, w, c], scale=source[0], zero_point=source[1])
    builder.op("PAD", [x, pad], [y], options("Pad"))
    if convolve:
        bias = builder.tensor([2], "int32", data=np.zeros(2, np.int32))
        shape = [2, 3, 3, c]
        weights = builder.tensor(
            shape, scale=[0.01, 0.02], data=random.integers(-127, 128, shape).astype(np.int8)
        )
        padded = y
        y = builder.tensor([1, h - 2, w - 2, 2], scale=out[0], zero_point=out[1])
        made = options(
            "Conv2D", padding=1, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1
        )
        builder.op("CONV_2D", [padded, weights, bias], [y], made)
    agree(builder.finish([x], [y]), executor, seed)


@generated
@given(n=st.integers(1, 40), source=quantizations(), seed=st.integers(0, 99))
def test_softmax(executor: Any, n: int, source: Any, seed: int) -> None:
    builder = Builder()
    x = builder.tensor([1, n], scale=source[0], zero_point=source[1])
    y = builder.tensor([1, n], scale=1 / 256, zero_point=-128)
    builder.op("SOFTMAX", [x], [y], options("Softmax", beta=1.0))
    agree(builder.finish([x], [y]), executor, seed, tolerance=1)


@pytest.mark.parametrize("same", [True, False])
def test_uint8_ends_are_the_same_numbers(executor: Any, same: bool) -> None:
    """QUANTIZE from and to uint8 at the ends: free where only the type changes."""
    builder = Builder()
    x = builder.tensor([1, 8], "uint8", 0.1, 130)
    inner = builder.tensor([1, 8], "int8", 0.1 if same else 0.13, 2)
    y = builder.tensor([1, 8], "uint8", 0.1 if same else 0.2, 130)
    builder.op("QUANTIZE", [x], [inner], options("Quantize"))
    middle = builder.tensor([1, 8], "int8", 0.1 if same else 0.13, 2)
    builder.op("RELU", [inner], [middle])
    builder.op("QUANTIZE", [middle], [y], options("Quantize"))
    model = builder.finish([x], [y])
    assert len(convert(read_tflite(model), {}).ops) == (1 if same else 3)
    agree(model, executor, 0)


def test_shape_arithmetic_and_dynamic_batch(executor: Any) -> None:
    """A reshape whose target is computed from a dynamic batch, as Keras writes it."""
    builder = Builder()
    x = builder.tensor([1, 2, 3, 4], scale=0.1, signature=[-1, 2, 3, 4])
    shape = builder.tensor([4], "int32")
    begin = builder.tensor([1], "int32", data=np.array([0], np.int32))
    end = builder.tensor([1], "int32", data=np.array([1], np.int32))
    batch = builder.tensor([], "int32")
    rest = builder.tensor([], "int32", data=np.array(24, np.int32))
    target = builder.tensor([2], "int32")
    flat = builder.tensor([1, 24], scale=0.1, signature=[-1, 24])
    y = builder.tensor([1, 24], scale=0.2)
    builder.op("SHAPE", [x], [shape], options("Shape", outType=2))
    builder.op(
        "STRIDED_SLICE",
        [shape, begin, end, end],
        [batch],
        options("StridedSlice", shrinkAxisMask=1),
    )
    builder.op("PACK", [batch, rest], [target], options("Pack", valuesCount=2))
    builder.op("RESHAPE", [x, target], [flat])
    builder.op("QUANTIZE", [flat], [y], options("Quantize"))
    agree(builder.finish([x], [y]), executor, 0)
