"""A few of the power cuts of `make bench-faults`."""

from __future__ import annotations

import json
from pathlib import Path

import power_cuts
import pytest
import results


@pytest.mark.parametrize(
    ("kind", "saves", "chip"),
    [(kind, 2 if "24 KB" in kind else 6, "Flash") for kind in power_cuts.KINDS]
    + [(kind, 6, "Disk") for kind in power_cuts.KINDS[:2]],
)
def test_nothing_is_lost(kind: str, saves: int, chip: str) -> None:
    found = power_cuts.virtual(kind, saves, chip)
    assert found.losses == 0
    assert found.cuts == found.operations * (3 if chip == "Flash" else 1) > 10 * saves


def test_a_loss_is_seen() -> None:
    assert power_cuts.virtual(power_cuts.CONTROL, 3).losses > 10


def test_on_the_rp2040() -> None:
    found = power_cuts.rp2040(8, seed=7)
    assert (found.cuts, found.losses) == (8, 0)


def test_what_counts_as_a_loss_there() -> None:
    states = ["1 a", "2 b", "3 c"]
    for save, text, expected in (
        (1, "0 none\n0 none", True), (1, "1 a\n0 none", True), (2, "1 a\n0 none", True),
        (3, "1 a\n2 b", True), (3, "3 c\n2 b", True), (3, "3 c\n0 none", False),
        (3, "0 none\n2 b", False), (2, "2 b\n1 a", False), (2, "1 a\n2 b\nTraceback", False),
    ):  # fmt: skip
        assert power_cuts._as_it_should(states, {"save": save, "found": text}) is expected


def test_parts_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "new" / "faults.json"
    results.merge({"power_cuts": 1, "fuzz_executions": 2}, path)
    results.merge({"power_cuts": 3}, path)
    assert json.loads(path.read_text()) == {"power_cuts": 3, "fuzz_executions": 2}
