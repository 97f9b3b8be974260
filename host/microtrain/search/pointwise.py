"""A selection without measurements: pointwise expansions, from the back to the front.

They are what the published schemes of MCUNetV3 train almost alone.
"""

from __future__ import annotations

from microtrain.errors import PlanError
from microtrain.graph import Graph
from microtrain.published_scheme import is_expansion
from microtrain.search.optimum import Plan
from microtrain.search.selection import RATIOS, Selection, layers


def pointwise(graph: Graph, plan: Plan, budget: int) -> Selection:
    """Take expansions back to front, each at the largest ratio that fits, until none fits.

    The biases go down to the first layer taken. Raises PlanError if nothing fits `budget` bytes.
    """
    names = layers(graph)
    best = Selection(0)
    if (least := plan(best).total) > budget:
        raise PlanError(f"not even the classifier alone fits: {least} bytes of {budget}")
    for behind, name in enumerate(reversed(names), 1):
        op = graph.op_index(name)
        if not is_expansion(graph, op):
            continue
        wider = (
            Selection(behind, ((name, ratio), *best.shares))
            for ratio in sorted(RATIOS, reverse=True)
            if int(ratio * graph.tensors[graph.ops[op].inputs[0]].c)
        )
        fitting = next((found for found in wider if plan(found).total <= budget), None)
        if fitting is None:
            break
        best = fitting
    return best
