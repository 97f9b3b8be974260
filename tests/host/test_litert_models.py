"""Whole models against LiteRT's reference kernels: 200 random and all available real inputs.

0 differing bytes; a final softmax may differ by 1.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from executors import EXECUTORS
from litert import Reference
from numpy.typing import NDArray
from shared import shared

from microtrain.graph import Graph, Kind
from microtrain.importers import import_model

RANDOM = 200


def quantized(pixels: NDArray[Any], graph: Graph) -> NDArray[np.int8]:
    """Pixels 0..1 as the model's input."""
    tensor = graph.tensors[graph.input]
    q = np.rint(pixels / tensor.scale) + tensor.zero_point
    return np.clip(q, -128, 127).astype(np.int8)


def photos(graph: Graph) -> NDArray[np.int8]:
    """60 photographs of hand signs at the model's resolution, q = pixel - 128."""
    with np.load(shared("data/datasets/sign_digits_64rgb.npz")) as data:
        pictures = data["x"][::34]
    size = graph.tensors[graph.input].h
    index = np.arange(size) * 64 // size
    return (pictures[:, index][:, :, index].astype(np.int16) - 128).astype(np.int8)


def digits(graph: Graph) -> NDArray[np.int8]:
    with np.load(shared("data/mcunet/mnist/mnist25.npz")) as data:
        pixels = next(data[k] for k in data.files if data[k].size == 25 * 28 * 28)
    return quantized(pixels.reshape(25, -1) / 255, graph)


def keywords(graph: Graph) -> NDArray[np.int8]:
    """Spoken words, already in the model's input quantisation: every one of 4,890."""
    with np.load(shared("data/datasets/speech_commands_v002_test_mfcc_int8.npz")) as data:
        return data["x"]


def none(graph: Graph) -> NDArray[np.int8]:
    return np.empty((0, graph.tensors[graph.input].size), np.int8)


MODELS = {
    "data/models/mlperf-tiny/pretrainedResnet_quant.tflite": photos,
    "data/models/mlperf-tiny/kws_ref_model.tflite": keywords,
    "data/models/mlperf-tiny/ad01_int8.tflite": none,
    "data/models/emlearn/mnist_cnn_int8.tflite": digits,
    "data/mcunet/mnist/ptq_mnist_lenet-300-100.tflite": digits,
    "data/mcunet/mnist/ptq_mnist_lenet-300-100_nobias.tflite": digits,
    "data/models/tinymaix/mbnet96_0.25_q.tflite": photos,
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("model", MODELS)
def test_outputs_equal_litert(model: str, executor: Any) -> None:
    path = shared(model)
    graph = import_model(path)
    reference = Reference(path)
    run = executor(graph)
    random = np.random.default_rng(0).integers(-128, 128, (RANDOM, *reference.shape[1:]))
    real = MODELS[model](graph)
    assert MODELS[model] is none or len(real) >= 25
    tolerance = 1 if graph.ops[-1].kind is Kind.SOFTMAX else 0
    for x in (*random.astype(np.int8), *real):
        expected = reference.run(x).astype(int)
        assert np.abs(run(x).ravel() - expected).max() <= tolerance


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("model", ["pretrainedResnet_quant", "kws_ref_model"])
def test_every_layer_equals_litert(model: str, executor: Any) -> None:
    """A softmax hides differences before it, so compare the logits too."""
    path = shared(f"data/models/mlperf-tiny/{model}.tflite")
    graph = import_model(path)
    assert graph.ops.pop().kind is Kind.SOFTMAX
    graph.output = graph.ops[-1].output
    reference = Reference(path)
    softmax = next(
        o for o in reference.interpreter._get_ops_details() if o["op_name"] == "SOFTMAX"
    )
    reference.output = softmax["inputs"][0]
    run = executor(graph)
    random = np.random.default_rng(1).integers(-128, 128, (RANDOM, *reference.shape[1:]))
    for x in random.astype(np.int8):
        assert np.array_equal(run(x).ravel(), reference.run(x))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_person_detect_equals_litert(executor: Any) -> None:
    """LiteRT refuses the file for the quantized_dimension of its biases, which it does not use.

    Its reference is therefore the same file with these numbers set to 0.
    """
    path = shared("data/models/tflite-micro/person_detect.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for tensor in model.subgraphs[0].tensors:
        quantization = tensor.quantization
        if quantization is not None and quantization.quantizedDimension >= len(tensor.shape):
            quantization.quantizedDimension = 0
    builder = flatbuffers.Builder(1 << 19)
    builder.Finish(model.Pack(builder), b"TFL3")
    reference = Reference(bytes(builder.Output()))
    graph = import_model(path)
    logits = graph.ops[-1].inputs[0]
    softmax = next(
        o for o in reference.interpreter._get_ops_details() if o["op_name"] == "SOFTMAX"
    )
    assert graph.ops.pop().kind is Kind.SOFTMAX
    graph.output, reference.output = logits, softmax["inputs"][0]
    run = executor(graph)
    random = np.random.default_rng(0).integers(-128, 128, (RANDOM, 96, 96, 1)).astype(np.int8)
    for x in random:
        assert np.array_equal(run(x).ravel(), reference.run(x))
