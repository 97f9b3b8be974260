"""The sparse update configurations of tiny-training, read as that code reads them.

Source of the rules: mit-han-lab/tiny-training, algorithm/core/utils/partial_backward.py.
Convolutions are counted from the input, without the classifier. Lists may be written as lists or,
as on that program's command line, "21-24-27".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microtrain.channel_selection import Weights, input_channels, select
from microtrain.errors import SchemeError
from microtrain.graph import Graph, Kind

CRITERIA = {"magnitude+": "norm", "magnitude-": "smallest norm", "random": "random"}


def is_expansion(graph: Graph, op_index: int) -> bool:
    """Whether an operator is a pointwise convolution to more channels ("pw1")."""
    op = graph.ops[op_index]
    return (
        op.kind is Kind.CONV2D
        and op.kernel == (1, 1)
        and op.out_channels > input_channels(graph, op)
    )


def parse(
    config: dict[str, Any], name: str, graph: Graph, convs: Sequence[int]
) -> tuple[int, dict[int, Weights]]:
    """How many of the last convolutions train their biases; what is trained of which weights.

    convs: operator indices of the convolutions; keys of the second are operator indices too.
    name: of the configuration, for errors. Raises SchemeError.
    """
    try:
        biases = _count(config["n_bias_update"], len(convs))
        if not 0 <= biases <= len(convs):
            raise SchemeError(f"{name}: {biases} biases, the model has {len(convs)} convolutions")
        indices = _indices(config, biases, len(convs))
        if config.get("pw1_weight_only"):
            indices = [i for i in indices if is_expansion(graph, convs[i])]
        ratios = _ratios(config["weight_update_ratio"], len(indices))
        criterion = config.get("weight_select_criteria")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SchemeError(f"{name}: not a sparse update configuration: {error!r}") from None
    if len(ratios) != len(indices):
        raise SchemeError(f"{name}: {len(ratios)} ratios for {len(indices)} layers")
    weights: dict[int, Weights] = {}
    for index, ratio in zip(indices, ratios, strict=True):
        if not len(convs) - biases <= index < len(convs):
            raise SchemeError(
                f"{name}: weights of convolution {index} are trained, but only the biases of "
                f"the last {biases} of {len(convs)}"
            )
        if convs[index] in weights:
            raise SchemeError(f"{name}: convolution {index} is listed twice")
        weights[convs[index]] = _selected(graph, convs[index], ratio, criterion)
    return biases, weights


def _count(value: Any, every: int) -> int:
    if value == "all":
        return every
    if type(value) is not int:
        raise ValueError(value)
    return value


def _indices(config: dict[str, Any], biases: int, convs: int) -> list[int]:
    given = config["manual_weight_idx"]
    if given is None:  # the last n_weight_update convolutions
        return list(range(convs - _count(config["n_weight_update"], biases), convs))
    if isinstance(given, list):
        return [int(index) for index in given]
    return [int(index) for index in str(given).split("-")]


def _ratios(given: Any, layers: int) -> list[float | None]:
    if given is None or isinstance(given, int | float):
        return [given] * layers
    if isinstance(given, str):
        return [float(ratio) for ratio in given.split("-")]
    return [None if ratio is None else float(ratio) for ratio in given]


def _selected(graph: Graph, op_index: int, ratio: float | None, criterion: Any) -> Weights:
    """int(ratio · channels) of them, ratio itself where it is above 1, all without a ratio."""
    if ratio is None:
        return "all"
    if criterion not in CRITERIA:
        known = ", ".join(CRITERIA)
        raise SchemeError(f"unknown weight_select_criteria {criterion!r}: one of {known}")
    count = input_channels(graph, graph.ops[op_index])
    keep = int(count * ratio) if ratio <= 1 else int(ratio)
    return select(graph, op_index, keep, CRITERIA[criterion], seed=0)
