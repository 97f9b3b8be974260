"""Which input channels of an operator's weights a ratio stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from microtrain.errors import SchemeError
from microtrain.graph import Graph, Kind, Op

# Sorted input channels, or all of them; None is none.
Weights = None | Literal["all"] | tuple[int, ...]
CRITERIA = ("norm", "smallest norm", "first", "random")


def input_channels(graph: Graph, op: Op) -> int:
    """How many input channels the weights of `op` can be chosen by."""
    source = graph.tensors[op.inputs[0]]
    return source.size if op.kind is Kind.LINEAR else source.c


def normal(channels: Sequence[int], count: int) -> Weights:
    """Distinct channels of `count`, in the one form that a scheme has for them."""
    return "all" if len(channels) == count else tuple(sorted(channels)) or None


def select(graph: Graph, op_index: int, keep: int, criterion: str, seed: int) -> Weights:
    """`keep` input channels of an operator with weights, chosen by one of CRITERIA.

    The norm is the L2 norm of the *integer* weights of an input channel (of a channel, where the
    operator is depthwise), as in tiny-training, whose weights are in the int8 domain; of equal
    norms the lower channel goes first. `random` draws from `seed` and the operator's index.
    Raises SchemeError.
    """
    op = graph.ops[op_index]
    assert op.weights is not None
    count = input_channels(graph, op)
    if not 0 <= keep <= count:
        raise SchemeError(f"layer {op.name!r}: {keep} input channels of {count}")
    if criterion == "first":
        return normal(range(keep), count)
    if criterion == "random":
        drawn = np.random.default_rng((seed, op_index)).permutation(count)
        return normal(drawn[:keep].tolist(), count)
    if criterion not in CRITERIA:
        raise SchemeError(f"layer {op.name!r}: select is one of {', '.join(CRITERIA)}")
    squares = op.weights.astype(np.int64) ** 2
    norms = squares.reshape(-1, count, op.channel_multiplier).sum(axis=(0, 2))
    order = np.argsort(norms if criterion == "smallest norm" else -norms, kind="stable")
    return normal(order[:keep].tolist(), count)
