"""The ablation's machinery on a tiny network and task, and the published formula of memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_net
from shared import shared

sys.path.insert(0, str(Path(__file__).resolve().parent))

import ablation
import ablation_picture
from analytic import extra_bytes
from runs import Run, Runs
from tasks import Split, Task

from microtrain.importers.mcunet import import_mcunet
from microtrain.scheme import load_scheme

# KiB; mcunetv3.md sections 2.5 and 2.6.
LABELS = {
    "mbv2-w0.35": {"49kb": 49.8, "73kb": 73.9, "99kb": 99.4, "123kb": 123.6, "138kb": 138.2,
                   "last-6": 129.5, "last-12": 223.7, "full": 1306.4},
    "mcunet-5fps": {"49kb": 49.8, "74kb": 74.8, "99kb": 99.8, "124kb": 125.0, "148kb": 148.4,
                    "last-6": 276.3, "last-12": 448.0, "full": 1400.4},
    "proxyless-w0.3": {"49kb": 49.7, "74kb": 74.9, "98kb": 98.5, "120kb": 120.2, "148kb": 148.2,
                       "last-6": 139.3, "last-12": 266.4, "full": 1210.7},
}  # fmt: skip
EPOCHS = 4


@pytest.mark.parametrize("model", LABELS)
def test_published_formula(model: str) -> None:
    graph = import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz"))
    file = shared("data/mcunet/sparse_update_configs.json")
    for name, label in LABELS[model].items():
        scheme = load_scheme(f"{file}#{model}/{name}" if "kb" in name else name, graph)
        assert round(extra_bytes(graph, scheme) / 1024, 1) == label, name


@pytest.mark.parametrize("best", [-9, -8, -2, 0, 1, 5])
def test_search_for_a_rate_leaves_no_better_neighbour(best: int) -> None:
    tried = []

    def accuracy(exponent: int) -> float:
        tried.append(exponent)
        return -abs(exponent - best)

    assert ablation.best_rate(accuracy, (-6, -2, 2)) == best
    assert len(tried) == len(set(tried)) and {best - 1, best, best + 1} <= set(tried)


def task() -> Task:
    x, y = tiny_net.samples(120, seed=5)
    rows = np.arange(len(y))
    split = Split(rows[:80], rows[80:])
    return Task("tiny", x, y.astype(np.int64), tiny_net.CLASSES, split)


def test_a_bench_of_a_tiny_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {
        name: ablation.Arm(name, scheme, "int8", (-6,), options)
        for name, scheme, options in (
            ("last", "last", {}), ("99kb", "last-1", {}), ("99kb no-qas", "last-1", {"qas": False})
        )
    }  # fmt: skip
    monkeypatch.setattr(ablation, "ARMS", arms)
    monkeypatch.setattr(ablation.backbones, "published", lambda: {ablation.MODEL: {}})
    file = tmp_path / "runs.jsonl"
    graph, steps = tiny_net.graph(), EPOCHS * 80
    bench = ablation.Bench(graph, task(), Runs(file), steps)
    for arm in arms:
        bench.measure(arm)
    measured = file.read_text()
    entries = [json.loads(line) for line in measured.splitlines()]
    tests = [entry for entry in entries if entry["part"] == "test"]
    assert [entry["seed"] for entry in tests] == [0, 1, 2] * len(arms)
    # resumed: nothing is measured again
    monkeypatch.setattr(ablation.Arm, "twin", None)
    bench = ablation.Bench(graph, task(), Runs(file), steps)
    for arm in arms:
        bench.measure(arm)
    assert file.read_text() == measured

    rows = ablation.summary(graph, Runs(file), {"tiny": steps})
    by_arm = {row["arm"]: row for row in rows}
    assert by_arm["99kb"]["tasks"]["tiny"][0] > 90
    assert by_arm["99kb"]["total_ram_bytes"] > by_arm["last"]["total_ram_bytes"]
    text = ablation.table(rows, {"tiny": steps})
    mean = np.mean([100 * entry["accuracy"] for entry in tests if entry["arm"] == "last"])
    assert f"| {mean:.2f} ± " in text
    ablation_picture.draw(rows, ["tiny"], tmp_path / "picture.svg")
    assert "</svg>" in (tmp_path / "picture.svg").read_text()


def test_a_damaged_file_of_runs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    run = Run("tiny", "net", "last", "test", -6, 0, 80)
    Runs(file).add(run, 0.5, 1.0)
    assert Runs(file)[run] == 0.5
    with file.open("a") as out:
        out.write('{"task": "ti')
    with pytest.raises(ValueError, match=r"runs\.jsonl, line 2: not a run"):
        Runs(file)
