"""Evolutionary and random search for the largest sum of gains: what `optimum` is compared with.

MCUNetV3 (arXiv 2206.15472) searches by evolution. The sum and the bytes are those of `optimum`:
every candidate is planned.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import MicrotrainError
from microtrain.link.transport import Progress
from microtrain.search.contributions import Gains
from microtrain.search.optimum import Plan
from microtrain.search.selection import Selection

POPULATION = 100
MUTATION_ETA = 3.0  # of polynomial mutation: few ratios are neighbours, so steps are wide


class Candidates:
    """Candidates that a search looks at, of which it remembers those better than all before.

    names: the layers before the classifier. budget: bytes of RAM. most: how many count.
    progress: of (looked at, most). found: (candidates looked at, sum of gains), rising; the last
    is that of `best`; empty where none fitted.
    """

    def __init__(
        self, gains: Gains, names: list[str], plan: Plan, budget: int, most: int,
        progress: Progress,
    ) -> None:  # fmt: skip
        self.gains, self.plan, self.budget = gains, plan, budget
        self.most, self.progress, self.looked = most, progress, 0
        self.best: Selection | None = None
        self.found: list[tuple[int, float]] = []
        self.biases = sorted(gains.biases)
        self.layers = names[len(names) - self.biases[-1] :]
        self.ratios = [
            (0.0, *(ratio for name, ratio in gains.shares if name == layer))
            for layer in self.layers
        ]
        # The largest value of each gene: the biases' first, then one a layer.
        self.top = np.array([len(self.biases), *map(len, self.ratios)]) - 1

    def selection(self, genes: NDArray[np.int64]) -> Selection:
        """What genes mean. Those of layers whose biases are not trained mean nothing."""
        k = self.biases[genes[0]]
        chosen = zip(self.layers, self.ratios, genes[1:], strict=True)
        shares = [(name, ratios[gene]) for name, ratios, gene in chosen]
        return Selection(k, tuple(share for share in shares[len(shares) - k :] if share[1]))

    def random(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Random genes. Of the layers a share is left out that is random as well: with every
        ratio as likely as none, next to nothing of more than a few layers fits a budget."""
        genes = rng.integers(0, self.top, endpoint=True)
        genes[1:][rng.random(len(genes) - 1) > rng.random()] = 0
        return genes

    def look(self, genes: NDArray[np.int64]) -> tuple[float, int]:
        """The sum of gains of a candidate, and the bytes of its plan. Raises MicrotrainError."""
        selection = self.selection(genes)
        gain, total = self.gains.total(selection), self.plan(selection).total
        self.looked += 1
        if self.looked <= self.most:
            self.progress(self.looked, self.most)
            if total <= self.budget and (not self.found or gain > self.found[-1][1]):
                self.best = selection
                self.found.append((self.looked, gain))
        return gain, total

    def gain(self, looked: int) -> float | None:
        """The best sum among the first `looked` candidates; None where none of them fitted."""
        return max((gain for at, gain in self.found if at <= looked), default=None)


def evolve(candidates: Candidates, seed: int) -> None:
    """Look at candidates as pymoo's genetic algorithm breeds them. Raises MicrotrainError."""
    try:
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.core.problem import ElementwiseProblem
        from pymoo.operators.crossover.ux import UniformCrossover
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.optimize import minimize
    except ImportError as error:
        raise MicrotrainError(
            "--evolution needs the package pymoo: pip install 'microtrain[search]'"
        ) from error

    class Problem(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            top = candidates.top
            super().__init__(
                n_var=len(top), n_obj=1, n_ieq_constr=1, xl=0 * top, xu=top, vtype=int
            )

        def _evaluate(
            self, x: NDArray[np.int64], out: dict[str, object], *_: object, **__: object
        ) -> None:
            gain, total = candidates.look(x)
            out["F"], out["G"] = -gain, total - candidates.budget

    rng, size = np.random.default_rng(seed), min(POPULATION, candidates.most)
    algorithm = GA(
        pop_size=size,
        sampling=np.array([candidates.random(rng) for _ in range(size)]),
        crossover=UniformCrossover(),
        mutation=PM(eta=MUTATION_ETA, vtype=float, repair=RoundingRepair()),
    )
    minimize(Problem(), algorithm, ("n_eval", candidates.most), seed=seed)


def draw(candidates: Candidates, seed: int) -> None:
    """Look at random candidates, drawn as the first generation of `evolve`."""
    rng = np.random.default_rng(seed)
    for _ in range(candidates.most):
        candidates.look(candidates.random(rng))
