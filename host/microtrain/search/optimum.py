"""The selection of the largest summed gain whose plan fits a RAM budget."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from microtrain.errors import PlanError
from microtrain.search.contributions import Gains
from microtrain.search.knapsack import Item, best_first
from microtrain.search.planner import Need
from microtrain.search.selection import Selection, Share

ROUNDING = 64  # bytes: more than the alignment of a layer's trained tensors can take
ESTIMATES = 20  # selections tried of a knapsack over estimated bytes
HALVINGS = 12  # such knapsacks tried before the proof begins
EXAMINED = 100_000  # selections looked at in the proof
Plan = Callable[[Selection], Need]


@dataclass(frozen=True)
class Optimum:
    """What was found. gain: its sum of gains. bound: no selection that fits has a larger sum.

    proven: gain is bound, so nothing that fits is better. need: bytes of its plan.
    """

    selection: Selection
    gain: float
    bound: float
    need: Need

    @property
    def proven(self) -> bool:
        return self.gain >= self.bound


def optimum(
    gains: Gains, names: list[str], plan: Plan, budget: int, most_plans: int = 2000
) -> Optimum:
    """The largest sum, gain of the biases plus gains of the shares, in `budget` bytes of RAM.

    names: the layers before the classifier, in execution order. Every answer was planned: its
    bytes are the planner's, not a sum's. First comes a good answer, from a knapsack over estimated
    bytes: what each share adds alone. Then selections are examined by falling sum, leaving out
    those that cannot fit, until one does or the sum is that of the answer: this proves it. Left
    out are selections whose *lower bound* of bytes exceeds the budget: the plan with one share or
    none, plus the trained state of the other shares. The bound holds if training more never makes
    an arena smaller; every plan made is checked against it, and an answer is not called proven
    where one contradicts it, nor after `most_plans` plans or EXAMINED selections. Shares without a
    gain are never chosen. Raises PlanError if nothing fits.
    """
    return _Search(gains, names, plan, budget).run(most_plans)


class _Search:
    def __init__(self, gains: Gains, names: list[str], plan: Plan, budget: int) -> None:
        self.gains, self.names, self.plan, self.budget = gains, names, plan, budget
        self.contradicted = False
        most = max(gains.biases)
        useful = [share for share, gain in gains.shares.items() if gain > 0]
        kept = self._kept(Selection(most))
        # Trained state does not depend on which biases are trained beside it.
        self.state = {
            share: max(0, self._kept(Selection(most, (share,))) - kept - ROUNDING)
            for share in useful
        }
        self.starts = {k: plan(Selection(k)).total for k in gains.biases}
        self.starts = {k: total for k, total in self.starts.items() if total <= budget}
        if not self.starts:
            least = plan(Selection(0)).total
            raise PlanError(f"not even the classifier alone fits: {least} bytes of {budget}")
        self.single: dict[Selection, int] = {}
        for k in self.starts:
            for share in useful:
                if share[0] in names[len(names) - k :]:
                    total = plan(Selection(k, (share,))).total
                    self.single[Selection(k, (share,))] = total
                    self._check(Selection(k, (share,)), total)

    def run(self, most_plans: int) -> Optimum:
        def alone(k: int, share: Share) -> int:
            return self.single[Selection(k, (share,))] - self.starts[k]

        best = self._estimated(alone)
        # The biases alone may be better than an estimate that never fitted.
        best = max(best, *map(Selection, self.starts), key=self.gains.total)
        bound, plans = self.gains.total(best), 0
        ranked = self._ranked(lambda k, share: self.state[share], self.budget)
        for examined, (gain, selection) in enumerate(ranked):
            if gain <= self.gains.total(best):
                break
            if plans == most_plans or examined == EXAMINED:
                bound = gain
                break
            if self._at_least(selection) > self.budget:
                continue
            total = self.plan(selection).total
            plans += 1
            self._check(selection, total)
            if total <= self.budget:
                best, bound = selection, gain
                break
        if self.contradicted:
            bound = float("inf")
        gain = self.gains.total(best)
        return Optimum(best, gain, max(bound, gain), self.plan(best))

    def _estimated(self, weight: Callable[[int, Share], int]) -> Selection:
        """A good selection that fits, from knapsacks over estimated bytes.

        Many shares may need far more than the sum of what each adds alone: of knapsacks with less
        room than the budget, the largest whose solution fits is found by halving.
        """
        best, room = Selection(0), float(self.budget)
        step = (self.budget - min(self.starts.values())) / 2
        for _ in range(HALVINGS):
            ranked = itertools.islice(self._ranked(weight, int(room)), ESTIMATES)
            fits = next((s for _, s in ranked if self.plan(s).total <= self.budget), None)
            if fits is not None:
                best = max(best, fits, key=self.gains.total)
            if fits is not None and room == self.budget:
                break
            room += step if fits is not None else -step
            step /= 2
        return best

    def _ranked(
        self, weight: Callable[[int, Share], int], room: int
    ) -> Iterator[tuple[float, Selection]]:
        """Selections by falling gain whose weights, with that of their biases, fit `room`."""
        streams = [
            self._of_biases(k, weight, room) for k in self.starts if self.starts[k] <= room
        ]
        return heapq.merge(*streams, key=lambda entry: -entry[0])

    def _of_biases(
        self, k: int, weight: Callable[[int, Share], int], room: int
    ) -> Iterator[tuple[float, Selection]]:
        groups: dict[str, list[Item]] = {}
        for selection, total in self.single.items():
            if selection.biases == k and total <= self.budget:
                (share,) = selection.shares
                item = Item(share, self.gains.shares[share], weight(k, share))
                groups.setdefault(share[0], []).append(item)
        ordered = [groups[name] for name in self.names if name in groups]
        for _, items in best_first(ordered, room - self.starts[k]):
            selection = Selection(k, tuple(item.key for item in items))  # type: ignore[misc]
            yield self.gains.total(selection), selection

    def _kept(self, selection: Selection) -> int:
        need = self.plan(selection)
        return need.total - need.arena

    def _at_least(self, selection: Selection) -> int:
        """A lower bound of the bytes of a selection."""
        k, state = selection.biases, sum(self.state[share] for share in selection.shares)
        alone = (
            self.single[Selection(k, (share,))] - self.state[share] for share in selection.shares
        )
        return max([self.starts[k], *alone]) + state

    def _check(self, selection: Selection, total: int) -> None:
        """Note a plan that is smaller than plans with less to train allow."""
        state = sum(self.state[share] for share in selection.shares)
        least = self.starts[selection.biases] + state
        self.contradicted |= total < max(least, self._at_least(selection))
