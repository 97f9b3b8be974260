"""Schemes for tests: random ones and named ones, for the numpy reference and for the engine."""

from __future__ import annotations

from typing import Any

import engine as E
import numpy as np
from reference.training import Layer

from microtrain import scheme
from microtrain.graph import WEIGHTED, Graph


def random_layers(rng: np.random.Generator, graph: Graph, executed: int) -> dict[int, Layer]:
    """A random scheme: no, some or all input channels and biases of at least one operator."""
    layers: dict[int, Layer] = {}
    weighted = [i for i, op in enumerate(graph.ops[:executed]) if op.kind in WEIGHTED]
    for i in weighted:
        source = graph.tensors[graph.ops[i].inputs[0]]
        channels = source.size if graph.ops[i].kind == 3 else source.c
        mode = rng.integers(5)
        chosen = {
            0: [],
            1: [],
            2: list(range(channels)),
            3: list(range(int(rng.integers(1, channels + 1)))),
            4: sorted(
                rng.choice(channels, int(rng.integers(1, channels + 1)), replace=False).tolist()
            ),
        }[int(mode)]
        bias = bool(rng.random() < 0.5)
        if bias or chosen:
            layers[i] = Layer(bias, chosen)
    return layers or {weighted[-1]: Layer(True, [])}


def engine_layers(layers: dict[int, Layer], graph: Graph) -> dict[int, E.Layer]:
    result = {}
    for index, layer in layers.items():
        source = graph.tensors[graph.ops[index].inputs[0]]
        channels = source.size if graph.ops[index].kind == 3 else source.c
        first = layer.channels == list(range(len(layer.channels)))
        whole = len(layer.channels) == channels
        result[index] = E.Layer(
            layer.bias, len(layer.channels) if first or whole else layer.channels
        )
    return result


def scheme_layers(graph: Graph, reference: str) -> dict[int, E.Layer]:
    """Of a scheme's name or file, for the engine."""
    layers = {}
    for layer in scheme.load_scheme(reference, graph).layers:
        op = graph.ops[layer.op_index]
        channels: Any = 0
        if layer.weights == "all":
            channels = E.ALL
        elif layer.weights:
            channels = list(layer.weights)
            if len(channels) == scheme.input_channels(graph, op):
                channels = E.ALL
        layers[layer.op_index] = E.Layer(layer.bias, channels)
    return layers
