"""What the TFLite importer takes, refuses and survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import shared
from tflite_builder import Builder, options

from microtrain import image
from microtrain.errors import ConversionError, MicrotrainError
from microtrain.graph import Kind
from microtrain.importers import import_model
from microtrain.importers.tflite import convert
from microtrain.importers.tflite_file import read_tflite


def small_model(**conv: Any) -> bytes:
    """A convolution, pool, reshape and fully connected layer, to take apart."""
    random = np.random.default_rng(0)
    builder = Builder()
    x = builder.tensor([1, 6, 6, 2], scale=0.05, zero_point=3)
    weights = builder.tensor(
        [4, 3, 3, 2], scale=[0.01] * 4, data=random.integers(-127, 128, (4, 3, 3, 2)).astype("i1")
    )
    bias = builder.tensor([4], "int32", [0.0005] * 4, data=np.arange(4, dtype=np.int32))
    a = builder.tensor([1, 6, 6, 4], scale=0.1, zero_point=-128)
    made = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    builder.op("CONV_2D", [x, weights, bias], [a], options("Conv2D", **(made | conv)))
    b = builder.tensor([1, 3, 3, 4], scale=0.1, zero_point=-128)
    pool = options("Pool2D", padding=1, strideH=2, strideW=2, filterHeight=2, filterWidth=2)
    builder.op("MAX_POOL_2D", [a], [b], pool)
    c = builder.tensor([1, 36], scale=0.1, zero_point=-128)
    shape = builder.tensor([2], "int32", data=np.array([1, 36], np.int32))
    builder.op("RESHAPE", [b, shape], [c])
    dense = builder.tensor(
        [3, 36], scale=0.02, data=random.integers(-127, 128, (3, 36)).astype("i1")
    )
    y = builder.tensor([1, 3], scale=0.3, zero_point=5)
    builder.op("FULLY_CONNECTED", [c, dense], [y], options("FullyConnected"))
    return builder.finish([x], [y])


def imported(data: bytes) -> Any:
    return convert(read_tflite(data), {"name": "test"})


def test_kinds_and_shapes() -> None:
    graph = imported(small_model())
    assert [op.kind for op in graph.ops] == [Kind.CONV2D, Kind.MAX_POOL, Kind.LINEAR]
    assert [op.name for op in graph.ops] == ["conv2d_0", "max_pool_0", "linear_0"]
    assert [graph.tensors[op.output].shape for op in graph.ops] == [
        (6, 6, 4),
        (3, 3, 4),
        (1, 1, 3),
    ]
    assert graph.ops[0].pads == (1, 1, 1, 1)
    assert not graph.ops[2].bias.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dilationHFactor": 2}, "dilation 2x1"),
        ({"strideH": 2}, "windows give 3x6"),
        ({"fusedActivationFunction": 4}, "fused activation"),
        ({"strideW": 0}, "below 1"),
    ],
)
def test_refusals_name_the_operator(change: dict[str, int], message: str) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        imported(small_model(**change))
    assert "operator 0 (CONV_2D, output 1x6x6x4)" in str(caught.value)


def test_unknown_operator_says_what_is_supported() -> None:
    builder = Builder()
    x = builder.tensor([1, 2, 2, 8], scale=0.1)
    y = builder.tensor([1, 2, 2, 8], scale=0.1)
    builder.op("HARD_SWISH", [x], [y])
    with pytest.raises(ConversionError) as caught:
        imported(builder.finish([x], [y]))
    text = str(caught.value)
    assert "operator 0 (HARD_SWISH, output 1x2x2x8): not supported" in text
    assert "DEPTHWISE_CONV_2D" in text


def test_grouped_convolution_is_refused() -> None:
    builder = Builder()
    x = builder.tensor([1, 4, 4, 4], scale=0.1)
    weights = builder.tensor([4, 1, 1, 2], scale=0.1, data=np.ones((4, 1, 1, 2), np.int8))
    y = builder.tensor([1, 4, 4, 4], scale=0.1)
    made = options("Conv2D", padding=0, strideH=1, strideW=1)
    builder.op("CONV_2D", [x, weights], [y], made)
    with pytest.raises(ConversionError, match="grouped"):
        imported(builder.finish([x], [y]))


def test_biases_beyond_the_limit_move_to_the_scale() -> None:
    """A bias of 2^31 - 1 becomes 2^30 at twice the weight scale: the same real number."""
    builder = Builder()
    x = builder.tensor([1, 4], scale=1e-4)
    weights = builder.tensor([2, 4], scale=1e-9, data=np.full((2, 4), 3, np.int8))
    bias = builder.tensor([2], "int32", 1e-13, data=np.array([2**31 - 1, 7], np.int32))
    y = builder.tensor([1, 2], scale=1e-5)
    builder.op("FULLY_CONNECTED", [x, weights, bias], [y], options("FullyConnected"))
    graph = imported(builder.finish([x], [y]))
    assert graph.ops[0].bias.tolist() == [2**30, 7]
    assert graph.ops[0].weight_scale.tolist() == [np.float32(1e-9) * 2, np.float32(1e-9)]
    assert len(graph.notes) == 1


def test_depthwise_weight_of_minus_128_is_refused() -> None:
    builder = Builder()
    x = builder.tensor([1, 3, 3, 2], scale=0.1)
    data = np.full((1, 1, 1, 2), -128, np.int8)
    weights = builder.tensor([1, 1, 1, 2], scale=0.1, data=data)
    y = builder.tensor([1, 3, 3, 2], scale=0.1)
    made = options("DepthwiseConv2D", padding=0, strideH=1, strideW=1, depthMultiplier=1)
    builder.op("DEPTHWISE_CONV_2D", [x, weights], [y], made)
    with pytest.raises(ConversionError, match="-128"):
        imported(builder.finish([x], [y]))


def test_shared_models_that_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"operator 1 \(SVDF, output 1x64\): not supported"):
        import_model(shared("data/models/tflite-micro/keyword_scrambled.tflite"))
    with pytest.raises(ConversionError, match=r"operator 0 \(CONV_2D.*FLOAT32"):
        import_model(shared("data/models/mlperf-tiny/pretrainedResnet.tflite"))


def test_person_detect_imports() -> None:
    """Its quantized_dimension is out of range, which current LiteRT refuses."""
    graph = import_model(shared("data/models/tflite-micro/person_detect.tflite"))
    assert len(graph.ops) == 30
    assert image.from_bytes(image.to_bytes(graph)).ops[-1].kind is Kind.SOFTMAX


def test_missing_file_and_unknown_suffix() -> None:
    with pytest.raises(ConversionError, match="No such file"):
        import_model(Path("nowhere.tflite"))
    with pytest.raises(ConversionError, match="cannot import"):
        import_model(Path("model.h5"))


MODEL = small_model()


def survives(data: bytes) -> None:
    try:
        image.to_bytes(imported(data))
    except MicrotrainError as error:
        assert str(error)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_random_bytes_raise_one_error(data: bytes) -> None:
    survives(b"\x1c\x00\x00\x00TFL3" + data)
    survives(data)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, len(MODEL) - 1))
def test_truncation_raises_one_error(length: int) -> None:
    survives(MODEL[:length])


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(MODEL) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes_raise_one_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(MODEL)
    for position, value in changes:
        data[position] = value
    survives(bytes(data))
