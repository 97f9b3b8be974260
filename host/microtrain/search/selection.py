"""What a search chooses: biases of the last layers, and shares of the weights of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microtrain.channel_selection import input_channels
from microtrain.graph import WEIGHTED, Graph

RATIOS = (0.125, 0.25, 0.5, 1.0)
Share = tuple[str, float]  # operator's name; ratio of its input channels, those of largest norm


@dataclass(frozen=True)
class Selection:
    """The biases of the last `biases` layers before the classifier, and shares of weights.

    Shares are of different layers among those, in execution order. The classifier is always
    trained whole.
    """

    biases: int
    shares: tuple[Share, ...] = ()

    def scheme(self, graph: Graph, name: str) -> dict[str, Any]:
        """The scheme in our JSON."""
        names = layers(graph)
        ratios = dict(self.shares)
        return {
            "name": name,
            "layers": {
                layer: {
                    "bias": True,
                    "weights": {"ratio": ratios[layer], "select": "norm"}
                    if layer in ratios
                    else "none",
                }
                for layer in names[len(names) - self.biases :]
            },
        }


def layers(graph: Graph) -> list[str]:
    """The operators with weights before the classifier, by name, in execution order."""
    return [op.name for op in graph.ops if op.kind in WEIGHTED][:-1]


def shares(graph: Graph, biases: int) -> list[Share]:
    """Every share of every layer among the last `biases`; those of less than one channel not."""
    names = layers(graph)
    return [
        (name, ratio)
        for name in names[len(names) - biases :]
        for ratio in RATIOS
        if int(ratio * input_channels(graph, graph.ops[graph.op_index(name)]))
    ]
