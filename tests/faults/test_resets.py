"""A few of the resets of `make bench-faults`."""

from __future__ import annotations

import resets


def test_a_run_goes_on_after_any_instruction() -> None:
    found = resets.measure(runs=1, cuts=1, seed=5)
    assert (found.runs, found.mismatches) == (1, 0)
    assert found.cuts
