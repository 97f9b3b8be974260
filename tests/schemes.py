"""Schemes as the engine takes them; random schemes for random graphs."""

from __future__ import annotations

import engine as E
import numpy as np
from reference.training import Layer

from microtrain.channel_selection import input_channels
from microtrain.graph import WEIGHTED, Graph
from microtrain.scheme import Scheme

# Names of the published schemes of MCUNetV3's backbones.
PUBLISHED = {
    "mbv2-w0.35": ("49kb", "73kb", "99kb", "123kb", "138kb"),
    "mcunet-5fps": ("49kb", "74kb", "99kb", "124kb", "148kb"),
    "proxyless-w0.3": ("49kb", "74kb", "98kb", "120kb", "148kb"),
}


def layers_of(graph: Graph, scheme: Scheme) -> dict[int, E.Layer]:
    """What the engine's planner takes for a resolved scheme."""
    layers = {}
    for layer in scheme.layers:
        chosen = layer.weights or ()
        whole = chosen == "all" or len(chosen) == input_channels(graph, graph.ops[layer.op_index])
        layers[layer.op_index] = E.Layer(layer.bias, E.ALL if whole else list(chosen) or 0)
    return layers


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
