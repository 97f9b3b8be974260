"""ONNX import: the float graph equals onnx.reference, the int8 graph stays close to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from executors import EXECUTORS
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import Net, keras_net, mobile_net, quantized_net, signal_net

from microtrain import float_graph, image
from microtrain.errors import ConversionError, DataError, MicrotrainError
from microtrain.fixed_point import Activation
from microtrain.graph import Kind
from microtrain.importers.onnx import import_onnx, load_calibration, read_float_graph
from microtrain.importers.onnx_nodes import convert

NETS = {"mobile": mobile_net, "signal": signal_net, "keras": keras_net}


def samples(name: str, count: int = 48) -> tuple[Any, Any]:
    """Channels-last samples as we take them, and the same in the model's layout."""
    random = np.random.default_rng(7)
    if name == "mobile":
        x = random.normal(size=(count, 16, 16, 3))
        return x, x.transpose(0, 3, 1, 2)
    if name == "signal":
        x = random.normal(size=(count, 40, 6))
        return x, x.transpose(0, 2, 1)
    x = random.normal(size=(count, 10, 8, 3))
    return x, x


def reference(net: Net, x: Any) -> Any:
    fixed = isinstance(net.shape[0], int)
    return np.concatenate([net.run(v[None]) for v in x]) if fixed else net.run(x)


@pytest.mark.parametrize("name", NETS)
def test_float_graph_equals_onnx(name: str, tmp_path: Path) -> None:
    net = NETS[name]()
    x, theirs = samples(name)
    graph = read_float_graph(net.save(tmp_path / "net.onnx"))
    ours = float_graph.run(graph, x)[graph.output].reshape(len(x), -1)
    expected = reference(net, theirs).reshape(len(x), -1)
    assert np.abs(ours - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_folds_and_fusions(tmp_path: Path) -> None:
    graph = read_float_graph(mobile_net().save(tmp_path / "net.onnx"))
    kinds = [(op.kind, op.activation) for op in graph.ops]
    none, relu, relu6 = Activation.NONE, Activation.RELU, Activation.RELU6
    assert kinds == [
        (Kind.CONV2D, relu6), (Kind.CONV2D, relu), (Kind.DEPTHWISE_CONV2D, relu6),
        (Kind.CONV2D, none), (Kind.ADD, none), (Kind.PAD, none), (Kind.MAX_POOL, none),
        (Kind.CONV2D, relu), (Kind.MEAN, none), (Kind.LINEAR, none),
    ]  # fmt: skip
    assert graph.ops[0].name == "Conv_v0"
    assert len({op.name for op in graph.ops}) == len(graph.ops)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize("name", NETS)
def test_quantised_outputs_are_close(
    name: str, method: Any, executor: Any, tmp_path: Path
) -> None:
    """Signal to quantisation noise of the logits at least 20 dB (a softmax: within 0.1)."""
    net = NETS[name]()
    x, theirs = samples(name)
    graph = import_onnx(net.save(tmp_path / "net.onnx"), x, method)
    assert image.to_bytes(image.from_bytes(image.to_bytes(graph))) == image.to_bytes(graph)
    run = executor(graph)
    source, out = graph.tensors[graph.input], graph.tensors[graph.output]
    q = np.clip(np.rint(x / source.scale) + source.zero_point, -128, 127).astype(np.int8)
    ours = np.stack([run(v).ravel() for v in q]).astype(float)
    ours = (ours - out.zero_point) * out.scale
    expected = reference(net, theirs).reshape(len(x), -1)
    if name == "keras":
        assert np.abs(ours - expected).max() < 0.1
    else:
        noise = np.mean((ours - expected) ** 2)
        assert 10 * np.log10(np.mean(expected**2) / noise) > 20


def test_ranges_and_scales(tmp_path: Path) -> None:
    x, _ = samples("mobile")
    graph = import_onnx(mobile_net().save(tmp_path / "net.onnx"), x)
    source = graph.tensors[graph.input]
    assert source.scale == pytest.approx((x.max() - x.min()) / 255, rel=1e-6)
    for op in graph.ops:
        if op.kind in (Kind.MAX_POOL, Kind.AVERAGE_POOL, Kind.PAD):
            a, b = graph.tensors[op.inputs[0]], graph.tensors[op.output]
            assert (a.scale, a.zero_point) == (b.scale, b.zero_point)
        if op.activation in (Activation.RELU, Activation.RELU6):
            assert graph.tensors[op.output].zero_point == -128
        if op.weights is not None:
            axis = 2 if op.kind is Kind.DEPTHWISE_CONV2D else 0
            others = tuple(i for i in range(op.weights.ndim) if i != axis)
            assert (np.abs(op.weights.astype(int)).max(axis=others) == 127).all()


def test_dead_channels_keep_their_bias(tmp_path: Path) -> None:
    net = Net([1, 4])
    net.add("Gemm", net.constant(np.eye(4) * [1, 1, 1, 0]), net.constant([0, 0, 0, 2.5]))
    x = np.random.default_rng(0).normal(size=(20, 4))
    graph = import_onnx(net.save(tmp_path / "net.onnx"), x)
    op = graph.ops[0]
    scale = graph.tensors[graph.input].scale * float(op.weight_scale[3])
    assert op.bias[3] * scale == pytest.approx(2.5, rel=1e-3)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_quantised_models_keep_their_scales(executor: Any, tmp_path: Path) -> None:
    """QuantizeLinear and DequantizeLinear executed in float differ by rounding only."""
    net = quantized_net()
    graph = import_onnx(net.save(tmp_path / "net.onnx"), None)
    kinds = [op.kind.name for op in graph.ops]
    assert kinds == [
        "CONV2D", "CONV2D", "DEPTHWISE_CONV2D", "CONV2D", "ADD", "MAX_POOL", "REQUANTIZE",
        "AVERAGE_POOL", "RESHAPE", "CONV2D", "LINEAR",
    ]  # fmt: skip
    assert [op.activation.name for op in graph.ops[1:4]] == ["RELU", "RANGE", "NONE"]
    source, out = graph.tensors[graph.input], graph.tensors[graph.output]
    assert (source.scale, source.zero_point) == (np.float32(0.02), -8)
    run = executor(graph)
    differences = []
    for x in np.random.default_rng(0).integers(-128, 128, (40, 8, 8, 3)):
        real = (x - source.zero_point) * source.scale
        expected = net.run(real.transpose(2, 0, 1)[None]).ravel()
        expected = np.rint(expected / out.scale) + out.zero_point
        differences.append(np.abs(run(x.astype(np.int8)).ravel() - expected))
    assert np.max(differences) <= 1
    assert np.mean(differences) < 0.1


def test_old_operator_sets(tmp_path: Path) -> None:
    """Axes and bounds as attributes, as operator set 10 has them."""
    net = Net([1, 3, 5])
    net.add("Unsqueeze", axes=[2])
    net.add("Conv", net.weights(4, 3, 1, 2))
    net.add("Clip", min=0.0, max=6.0)
    net.add("Squeeze", axes=[2])
    net.add("ReduceMean", axes=[2], keepdims=0)
    path = tmp_path / "net.onnx"
    path.write_bytes(net.model(opset=10).SerializeToString())
    graph = read_float_graph(path)
    assert [op.kind for op in graph.ops] == [Kind.CONV2D, Kind.MEAN]
    assert graph.ops[0].activation is Activation.RELU6


def test_a_float_model_needs_calibration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--calib"):
        import_onnx(mobile_net().save(tmp_path / "net.onnx"), None)


def refusal(net: Net) -> str:
    with pytest.raises(ConversionError) as caught:
        convert(net.model(), {})
    return str(caught.value)


def test_refusals_name_the_operator() -> None:
    net = Net([1, 3, 8, 8])
    net.add("Conv", net.weights(4, 3, 3, 3))
    net.add("Sigmoid")
    assert "operator 1 (Sigmoid '/Sigmoid_v1'): not supported. Supported: Add" in refusal(net)
    for op, operands, attributes, message in (
        ("Conv", [(4, 3, 3, 3)], {"dilations": [2, 2]}, "dilations"),
        ("Conv", [(6, 1, 3, 3)], {"group": 2}, "weights for 2 channels"),
        ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, "ceil_mode"),
        ("ReduceMean", [], {"axes": [1]}, "means over axes"),
        ("Softmax", [], {"axis": 1}, "only over all values"),
        ("Add", [(3, 8, 8)], {}, "only one number for each channel"),
        ("Transpose", [], {"perm": [0, 2, 1, 3]}, ""),
    ):
        net = Net([1, 3, 8, 8])
        net.add(op, *(net.weights(*shape) for shape in operands), **attributes)
        if op == "Transpose":
            net.add("Conv", net.weights(4, 8, 1, 1))
            message = "memory order"
        assert message in refusal(net), op
    assert "fixed shape" in refusal(Net([1, 3, "h", "w"]))


def test_a_value_read_twice_is_not_changed_by_fusion(tmp_path: Path) -> None:
    """The Relu may not be fused into the convolution, whose output is also added."""
    net = Net([1, 2, 4, 4])
    first = net.add("Conv", net.weights(2, 2, 1, 1))
    net.add("Relu")
    net.add("Add", first)
    net.rank = 4
    graph = read_float_graph(net.save(tmp_path / "net.onnx"))
    assert [op.kind for op in graph.ops] == [Kind.CONV2D, Kind.REQUANTIZE, Kind.ADD]
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    ours = float_graph.run(graph, x)[graph.output].transpose(0, 3, 1, 2)
    expected = reference(net, x.transpose(0, 3, 1, 2))
    assert np.abs(ours - expected).max() < 1e-5


def test_calibration_data(tmp_path: Path) -> None:
    path = mobile_net().save(tmp_path / "net.onnx")
    with pytest.raises(DataError, match=r"\(3, 16, 16\), the model wants \(16, 16, 3\)"):
        import_onnx(path, np.zeros((2, 3, 16, 16)))
    with pytest.raises(DataError, match="NaN"):
        import_onnx(path, np.full((2, 16, 16, 3), np.nan))
    np.savez(tmp_path / "c.npz", x=np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match="float array"):
        load_calibration(tmp_path / "c.npz")
    with pytest.raises(DataError, match="No such file"):
        load_calibration(tmp_path / "absent.npz")
    graph = import_onnx(path, np.zeros((2, 16, 16, 3)))  # constant data: still a valid image
    assert image.from_bytes(image.to_bytes(graph)).ops


BYTES = signal_net().model().SerializeToString()


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), max_size=3))
def test_changed_bytes_raise_one_error(
    tmp_path_factory: Any, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(BYTES)
    for position, value in changes:
        data[position] = value
    path = tmp_path_factory.getbasetemp() / "net.onnx"
    path.write_bytes(data)
    try:
        image.to_bytes(import_onnx(path, samples("signal", 2)[0]))
    except MicrotrainError as error:
        assert str(error)
