"""The multiple-choice knapsack, every solution in order of its value."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Item:
    """Something that may be chosen. value: above 0; weight: 0 or more."""

    key: Hashable
    value: float
    weight: int


def best_first(
    groups: Sequence[Sequence[Item]], capacity: int
) -> Iterator[tuple[float, tuple[Item, ...]]]:
    """Every choice of at most one item a group that weighs `capacity` or less, by falling value.

    Exact: a search guided by the true best value of what is left, which dynamic programming over
    the Pareto frontiers (weight, value) of the last groups gives. So the first one is the optimum
    of the knapsack. Values that differ by rounding of floats may change places.
    """
    if capacity < 0:
        return
    frontiers = _frontiers(groups, capacity)

    def rest(group: int, room: int) -> float:
        weights, values = frontiers[group]
        return float(values[np.searchsorted(weights, room, "right") - 1])

    counter = itertools.count()  # first come, first served among equals
    heap: list[Any] = [(-rest(0, capacity), next(counter), 0, capacity, 0.0, ())]
    while heap:
        _, _, group, room, value, chosen = heapq.heappop(heap)
        if group == len(groups):
            yield value, chosen
            continue
        for item in (None, *groups[group]):
            left, more, items = room, value, chosen
            if item is not None:
                left, more, items = room - item.weight, value + item.value, (*chosen, item)
            if left >= 0:
                bound = more + rest(group + 1, left)
                heapq.heappush(heap, (-bound, next(counter), group + 1, left, more, items))


def _frontiers(
    groups: Sequence[Sequence[Item]], capacity: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For each suffix of the groups: rising weights, and the best value at most that heavy."""
    weights, values = np.zeros(1, np.int64), np.zeros(1)
    found = [(weights, values)]
    for items in reversed(groups):
        heavier = np.concatenate([weights, *(weights + item.weight for item in items)])
        better = np.concatenate([values, *(values + item.value for item in items)])
        order = np.lexsort((-better, heavier))
        order = order[heavier[order] <= capacity]
        heavier, better = heavier[order], better[order]
        best_before = np.maximum.accumulate(np.append(-np.inf, better))[:-1]
        weights, values = heavier[better > best_before], better[better > best_before]
        found.append((weights, values))
    return found[::-1]
