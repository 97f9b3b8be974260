"""Update schemes: which biases and which input channels of which weights are trained.

A scheme is named (`last`, `bias`, `full`), a JSON file of ours, or one entry of a published file,
`FILE.json#MODEL/NAME`. Resolved against a graph it is one `LayerScheme` for each trained operator.

Our JSON: `{"name": ..., "layers": {OPERATOR: {"bias": true, "weights": W}}}` with W "none", "all",
a number N (the first N input channels) or a list of input channels.

The classifier (the last operator with weights) is trained by every scheme, unless a file of ours
says something about it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microtrain.errors import SchemeError
from microtrain.graph import WEIGHTED, Graph, Kind, Op

Weights = None | Literal["all"] | tuple[int, ...]
NAMES = ("last", "bias", "full")


@dataclass(frozen=True)
class LayerScheme:
    """What is trained of one operator: `weights` lists sorted input channels, None is none.

    Input channels of a linear operator are its flat inputs; of a depthwise one its channels.
    """

    op_index: int
    bias: bool
    weights: Weights


@dataclass(frozen=True)
class Scheme:
    """A resolved scheme: the trained operators in execution order."""

    name: str
    layers: tuple[LayerScheme, ...]

    def to_json(self, graph: Graph) -> dict[str, Any]:
        """The same scheme in our JSON form, by operator names."""
        layers: dict[str, Any] = {}
        for layer in self.layers:
            weights = layer.weights
            layers[graph.ops[layer.op_index].name] = {
                "bias": layer.bias,
                "weights": list(weights) if isinstance(weights, tuple) else weights or "none",
            }
        return {"name": self.name, "layers": layers}


def input_channels(graph: Graph, op: Op) -> int:
    """How many input channels the weights of `op` can be chosen by."""
    source = graph.tensors[op.inputs[0]]
    return source.size if op.kind is Kind.LINEAR else source.c


def load_scheme(text: str, graph: Graph) -> Scheme:
    """Resolve what a user gave as --scheme. Raises SchemeError."""
    trainable = [i for i, op in enumerate(graph.ops) if op.kind in WEIGHTED]
    if not trainable:
        raise SchemeError("the model has no operator with weights, so nothing can be trained")
    if text in NAMES:
        return _named(text, trainable)
    file, separator, entry = text.partition("#")
    data = _read_json(Path(file))
    if separator:
        return _published(data, entry, graph, trainable)
    if not (isinstance(data, dict) and isinstance(data.get("layers"), dict)):
        raise SchemeError(
            f"{file}: a scheme file is a JSON object with 'layers'; give FILE.json#MODEL/NAME for "
            "one entry of a file of many"
        )
    return _ours(data, Path(file).stem, graph, trainable)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise SchemeError(
            f"scheme {str(path)!r}: neither one of {', '.join(NAMES)} nor a file that can be read "
            f"({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SchemeError(f"{path}: not JSON: {error}") from error


def _named(name: str, trainable: list[int]) -> Scheme:
    *body, head = trainable
    layers = [LayerScheme(head, True, "all")]
    if name != "last":
        weights: Weights = "all" if name == "full" else None
        layers = [LayerScheme(i, True, weights) for i in body] + layers
    return Scheme(name, tuple(layers))


def _ours(data: dict[str, Any], default: str, graph: Graph, trainable: list[int]) -> Scheme:
    index_of = {op.name: i for i, op in enumerate(graph.ops)}
    layers = {trainable[-1]: LayerScheme(trainable[-1], True, "all")}
    for name, entry in data["layers"].items():
        index = index_of.get(name)
        if index is None or index not in trainable:
            known = ", ".join(graph.ops[i].name for i in trainable)
            raise SchemeError(f"layer {name!r} is not in the model. Trainable layers: {known}")
        if not isinstance(entry, dict) or not isinstance(entry.get("bias", False), bool):
            raise SchemeError(f'layer {name!r}: write {{"bias": true or false, "weights": ...}}')
        if unknown := set(entry) - {"bias", "weights"}:
            raise SchemeError(f"layer {name!r}: unknown key {sorted(unknown)[0]!r}")
        weights = _channels(
            entry.get("weights", "none"), name, input_channels(graph, graph.ops[index])
        )
        layers[index] = LayerScheme(index, entry.get("bias", False), weights)
    kept = [layers[i] for i in sorted(layers) if layers[i].bias or layers[i].weights]
    if not kept:
        raise SchemeError("the scheme trains nothing")
    return Scheme(str(data.get("name", default)), tuple(kept))


def _channels(value: Any, layer: str, count: int) -> Weights:
    if value in ("none", "all"):
        return "all" if value == "all" else None
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= count:
            raise SchemeError(f"layer {layer!r}: {value} input channels of {count}")
        value = list(range(value))
    if not isinstance(value, list) or not all(type(v) is int for v in value):
        raise SchemeError(f'layer {layer!r}: weights are "none", "all", a number or a list')
    if len(set(value)) != len(value) or any(not 0 <= v < count for v in value):
        raise SchemeError(
            f"layer {layer!r}: input channels must be distinct and in 0..{count - 1}: {value}"
        )
    return _normal(value, count)


def _normal(channels: list[int], count: int) -> Weights:
    if len(channels) == count:
        return "all"
    return tuple(sorted(channels)) or None


def _published(data: Any, entry: str, graph: Graph, trainable: list[int]) -> Scheme:
    """One entry of a file in the format of tiny-training's sparse update configurations.

    Convolutions are counted from the input, without the classifier. Source of the rules:
    algorithm/core/utils/partial_backward.py.
    """
    model, _, name = entry.partition("/")
    try:
        config = data[model][name]
    except (KeyError, TypeError, IndexError):
        known = [f"{m}/{n}" for m in data for n in data[m]] if isinstance(data, dict) else []
        raise SchemeError(f"no entry {entry!r}; the file has: {', '.join(known)}") from None
    *convs, head = trainable
    try:
        biases, ratios = config["n_bias_update"], config["weight_update_ratio"]
        indices, criterion = config["manual_weight_idx"], config["weight_select_criteria"]
        if config.get("pw1_weight_only"):
            raise SchemeError(f"{entry}: pw1_weight_only is not supported, only an explicit list")
        if not 0 <= biases <= len(convs):
            raise SchemeError(f"{entry}: {biases} biases, the model has {len(convs)} convolutions")
        if len(ratios) != len(indices):
            raise SchemeError(f"{entry}: {len(ratios)} ratios for {len(indices)} layers")
        weights: dict[int, Weights] = {}
        for index, ratio in zip(indices, ratios, strict=True):
            if not len(convs) - biases <= index < len(convs):
                raise SchemeError(
                    f"{entry}: weights of convolution {index} are trained, but only the biases of "
                    f"the last {biases} of {len(convs)}"
                )
            weights[index] = _selected(graph, convs[index], ratio, criterion)
    except (KeyError, TypeError) as error:
        raise SchemeError(f"{entry}: not a sparse update configuration: {error!r}") from None
    layers = [
        LayerScheme(convs[i], True, weights.get(i)) for i in range(len(convs) - biases, len(convs))
    ]
    return Scheme(entry, (*layers, LayerScheme(head, True, "all")))


def _selected(graph: Graph, op_index: int, ratio: float, criterion: str) -> Weights:
    """The input channels a published entry trains: int(channels · ratio), chosen by `criterion`.

    Magnitude is the L2 norm of the *integer* weights over an input channel, as in the published
    code, whose weights are in the int8 domain. `random` draws with a fixed seed.
    """
    op = graph.ops[op_index]
    assert op.weights is not None
    count = input_channels(graph, op)
    keep = int(count * ratio)
    if not 0 <= keep <= count:
        raise SchemeError(f"{op.name}: ratio {ratio} of {count} input channels")
    squares = op.weights.astype(np.int64) ** 2
    norms = squares.reshape(-1, count, op.channel_multiplier).sum(axis=(0, 2))
    if criterion == "magnitude+":
        order = np.argsort(-norms, kind="stable")
    elif criterion == "magnitude-":
        order = np.argsort(norms, kind="stable")
    elif criterion == "random":
        order = np.random.default_rng(op_index).permutation(count)
    else:
        raise SchemeError(f"unknown weight_select_criteria {criterion!r}")
    return _normal(order[:keep].tolist(), count)
