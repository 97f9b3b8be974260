"""Update schemes: which biases and which input channels of which weights are trained.

A scheme is named (`last`, `last-K`, `bias`, `full`), a JSON file of ours, a file with one
published configuration, or one entry of a published file of many, `FILE.json#MODEL/NAME`. Resolved
against a graph it is one `LayerScheme` for each trained operator.

Our JSON: `{"name": ..., "layers": {OPERATOR: {"bias": true, "weights": W}}}` with W "none", "all",
a number N (the first N input channels), a list of input channels, or a share of them:
`{"ratio": 0.25, "select": "norm"}`, with `select` one of channel_selection.CRITERIA, and a "seed"
for "random".

The classifier (the last operator with weights) is trained by every scheme, unless a file of ours
says something about it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtrain import published_scheme
from microtrain.channel_selection import Weights, input_channels, normal, select
from microtrain.errors import SchemeError
from microtrain.graph import WEIGHTED, Graph

NAMES = ("last", "bias", "full")  # and last-K, K >= 1
_LAST = re.compile(r"last-([1-9][0-9]*)")


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


def is_name(text: str) -> bool:
    """Whether --scheme names what is trained, which a board can resolve itself."""
    return text in NAMES or bool(_LAST.fullmatch(text))


def load_scheme(text: str, graph: Graph) -> Scheme:
    """Resolve what a user gave as --scheme. Raises SchemeError."""
    trainable = [i for i, op in enumerate(graph.ops) if op.kind in WEIGHTED]
    if not trainable:
        raise SchemeError("the model has no operator with weights, so nothing can be trained")
    if is_name(text):
        return _named(text, trainable)
    file, separator, entry = text.partition("#")
    data = _read_json(Path(file))
    if separator:
        return _published(_entry(data, entry), entry, graph, trainable)
    if isinstance(data, dict) and "n_bias_update" in data:
        return _published(data, Path(file).stem, graph, trainable)
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
            f"scheme {str(path)!r}: neither one of {', '.join(NAMES)}, last-K nor a file that can "
            f"be read ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SchemeError(f"{path}: not JSON: {error}") from error


def _named(name: str, trainable: list[int]) -> Scheme:
    *body, head = trainable
    if last := _LAST.fullmatch(name):
        if (count := int(last[1])) > len(body):
            raise SchemeError(
                f"scheme {name!r}: the model has {len(body)} operators with weights before the "
                "classifier"
            )
        body = body[-count:]
    elif name == "last":
        body = []
    weights: Weights = None if name == "bias" else "all"
    layers = [LayerScheme(i, True, weights) for i in body]
    return Scheme(name, (*layers, LayerScheme(head, True, "all")))


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
        value = entry.get("weights", "none")
        count = input_channels(graph, graph.ops[index])
        weights = (
            _share(value, graph, index)
            if isinstance(value, dict)
            else _channels(value, name, count)
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
        raise SchemeError(
            f'layer {layer!r}: weights are "none", "all", a number, a list or {{"ratio": ...}}'
        )
    if len(set(value)) != len(value) or any(not 0 <= v < count for v in value):
        raise SchemeError(
            f"layer {layer!r}: input channels must be distinct and in 0..{count - 1}: {value}"
        )
    return normal(value, count)


def _share(value: dict[str, Any], graph: Graph, op_index: int) -> Weights:
    """The channels of {"ratio": ..., "select": ..., "seed": ...}: int(ratio · channels)."""
    op = graph.ops[op_index]
    ratio, seed = value.get("ratio"), value.get("seed", 1)
    if unknown := set(value) - {"ratio", "select", "seed"}:
        raise SchemeError(f"layer {op.name!r}: unknown key {sorted(unknown)[0]!r}")
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise SchemeError(f"layer {op.name!r}: ratio is a number above 0, at most 1: {ratio!r}")
    if type(seed) is not int or seed < 0:
        raise SchemeError(f"layer {op.name!r}: seed is an integer, 0 or more: {seed!r}")
    count = input_channels(graph, op)
    if not (keep := int(ratio * count)):
        raise SchemeError(f"layer {op.name!r}: ratio {ratio} of {count} input channels is none")
    return select(graph, op_index, keep, str(value.get("select", "norm")), seed)


def _entry(data: Any, entry: str) -> Any:
    """The configuration MODEL/NAME of a published file of many."""
    model, _, name = entry.partition("/")
    try:
        return data[model][name]
    except (KeyError, TypeError, IndexError):
        models = data.items() if isinstance(data, dict) else ()
        known = [f"{m}/{n}" for m, names in models if isinstance(names, dict) for n in names]
        raise SchemeError(f"no entry {entry!r}; the file has: {', '.join(known)}") from None


def _published(config: Any, name: str, graph: Graph, trainable: list[int]) -> Scheme:
    *convs, head = trainable
    if not isinstance(config, dict):
        raise SchemeError(f"{name}: not a sparse update configuration, which is a JSON object")
    biases, weights = published_scheme.parse(config, name, graph, convs)
    layers = [LayerScheme(i, True, weights.get(i)) for i in convs[len(convs) - biases :]]
    return Scheme(name, (*layers, LayerScheme(head, True, "all")))
