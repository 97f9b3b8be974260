"""`microtrain search`: measurements that go on after a kill, and the best sum, by brute force."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_net
from command_line import COMMAND, run_cli
from shared import shared

from microtrain.errors import DataError, DeviceError, MicrotrainError, PlanError
from microtrain.graph import Graph
from microtrain.link import open_device
from microtrain.run import TrainOptions, train
from microtrain.search.contributions import Analysis, Gains
from microtrain.search.evolution import Candidates, draw, evolve
from microtrain.search.executors import Executor, Processes
from microtrain.search.knapsack import Item, best_first
from microtrain.search.optimum import optimum
from microtrain.search.planner import Need, Planner
from microtrain.search.pointwise import pointwise
from microtrain.search.ray_cluster import RayCluster
from microtrain.search.results import Run
from microtrain.search.selection import RATIOS, Selection, layers, shares

BENCH = Path(__file__).resolve().parents[1] / "bench/search.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    tiny_net.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def options(files: Path) -> TrainOptions:
    return TrainOptions(
        files / "tiny.mtm", files / "train.mtd", epochs=1, val=files / "val.mtd", lr=0.006
    )


@pytest.fixture(scope="module")
def plan(files: Path, options: TrainOptions) -> Iterator[Planner]:
    with open_device("virtual") as device:
        yield Planner(device, options, files)


def every(graph: Graph) -> list[Selection]:
    """All selections of the tiny network."""
    found = []
    for k in range(len(layers(graph)) + 1):
        groups = [
            [None, *(share for share in shares(graph, k) if share[0] == name)]
            for name in layers(graph)[len(layers(graph)) - k :]
        ]
        found += [Selection(k, tuple(filter(None, c))) for c in itertools.product(*groups)]
    return found


def random_gains(graph: Graph, seed: int) -> Gains:
    rng = np.random.default_rng(seed)
    count = len(layers(graph))
    return Gains(
        0.5,
        {0: 0.0} | {k: float(rng.normal(0.02, 0.05)) for k in range(1, count + 1)},
        {share: float(rng.normal(0.05, 0.06)) for share in shares(graph, count)},
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_brute_force(seed: int, plan: Planner) -> None:
    graph = tiny_net.graph()
    gains = random_gains(graph, seed)
    needs = {selection: plan(selection).total for selection in every(graph)}
    assert len(needs) == 106  # 1 + 5 + 25 + 75
    low, high = min(needs.values()), max(needs.values())
    answers = set()
    for budget in np.linspace(low, high, 12).astype(int).tolist():
        best = max(gains.total(s) for s, need in needs.items() if need <= budget)
        found = optimum(gains, layers(graph), plan, budget)
        assert found.proven
        assert found.gain == pytest.approx(best, abs=1e-12)
        assert found.need.total == needs[found.selection] <= budget
        answers.add(found.selection)
    assert len(answers) > 1  # seed 3 has two
    with pytest.raises(PlanError, match=f"{low} bytes of {low - 1}"):
        optimum(gains, layers(graph), plan, low - 1)


def test_an_answer_that_is_not_proven_says_so(plan: Planner) -> None:
    graph = tiny_net.graph()
    gains = random_gains(graph, 0)
    needs = {selection: plan(selection).total for selection in every(graph)}

    def shrinking(selection: Selection) -> Need:  # against what the proof rests on
        need = plan(selection)
        return replace(need, total=need.total - 900) if len(selection.shares) == 1 else need

    found = optimum(gains, layers(graph), shrinking, max(needs.values()))
    assert not found.proven and found.bound == float("inf")

    # Two shares together cost 400 bytes more than one alone tells: each has to be tried.
    def growing(selection: Selection) -> Need:
        need = plan(selection)
        more = 400 * max(0, len(selection.shares) - 1)
        return Need(need.total + more, need.arena + more)

    budget = 5200
    best = max(gains.total(s) for s in needs if growing(s).total <= budget)
    whole = optimum(gains, layers(graph), growing, budget)
    assert whole.proven and whole.gain == pytest.approx(best, abs=1e-12)
    cut = optimum(gains, layers(graph), growing, budget, most_plans=0)
    assert not cut.proven and cut.gain <= best <= cut.bound
    assert cut.need.total <= budget


def test_without_a_proof_the_answer_is_a_good_one() -> None:
    names = [f"layer_{i}" for i in range(14)]
    rng = np.random.default_rng(0)
    best_of = {name: float(rng.uniform(0.01, 0.1)) for name in names}
    gains = Gains(
        0.5, {0: 0.0, 14: 0.01}, {(n, r): g * r for n, g in best_of.items() for r in RATIOS}
    )

    def plan(selection: Selection) -> Need:  # together far more than each alone adds
        shares = selection.shares
        total = 1000 + int(sum(80 * ratio for _, ratio in shares)) + 1000 * max(0, len(shares) - 1)
        return Need(total, total)

    found = optimum(gains, names, plan, 4500, most_plans=10)
    best = 0.01 + sum(sorted(best_of.values())[-4:])
    assert not found.proven and found.need.total <= 4500
    assert 0.9 * best < found.gain <= best < found.bound


@pytest.mark.parametrize("search", [evolve, draw])
def test_candidates_are_planned_and_counted(
    search: Callable[[Candidates, int], None], plan: Planner
) -> None:
    graph = tiny_net.graph()
    gains = random_gains(graph, 1)
    needs = {selection: plan(selection).total for selection in every(graph)}
    budget = sorted(needs.values())[len(needs) // 2]
    planned: list[Selection] = []

    def counted(selection: Selection) -> Need:
        planned.append(selection)
        return plan(selection)

    def run(seed: int, samples: int) -> Candidates:
        found = Candidates(gains, layers(graph), counted, budget, samples, lambda *call: None)
        search(found, seed)
        return found

    found = run(0, 1000)
    assert found.best is not None and plan(found.best).total <= budget
    assert set(planned) <= needs.keys()
    fitting = [
        gains.total(s) if needs[s] <= budget else -np.inf for s in planned[: found.most]
    ]
    for looked in (1, 10, 100, 1000):
        best = max(fitting[:looked])
        assert found.gain(looked) == (None if best == -np.inf else best)
    assert gains.total(found.best) == found.gain(1000)
    # 106 selections: 1000 candidates find the best of them.
    assert found.gain(1000) == optimum(gains, layers(graph), plan, budget).gain
    assert run(0, 1000).found == found.found != run(1, 1000).found
    nothing = Candidates(gains, layers(graph), plan, 100, 20, lambda *call: None)
    search(nothing, 0)
    assert nothing.best is nothing.gain(20) is None


@pytest.mark.parametrize("seed", range(5))
def test_best_first_gives_every_choice_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [
        [Item((g, i), float(rng.uniform(0.01, 1)), int(rng.integers(0, 20))) for i in range(3)]
        for g in range(4)
    ]
    expected = []
    for choice in itertools.product(*([None, *group] for group in groups)):
        items = [item for item in choice if item is not None]
        if sum(item.weight for item in items) <= 30:
            expected.append(sum(item.value for item in items))
    found = list(best_first(groups, 30))
    assert [value for value, _ in found] == pytest.approx(sorted(expected, reverse=True))
    assert len({items for _, items in found}) == len(expected)
    assert list(best_first(groups, -1)) == []


def test_expansions_are_taken_back_to_front(plan: Planner) -> None:
    graph = tiny_net.graph()
    expansion = layers(graph)[2]  # the only pointwise convolution, 8 to 16 channels
    whole = Selection(1, ((expansion, 1.0),))
    half = Selection(1, ((expansion, 0.5),))
    assert pointwise(graph, plan, plan(whole).total) == whole
    assert pointwise(graph, plan, plan(whole).total - 1) == half
    assert pointwise(graph, plan, plan(Selection(0)).total) == Selection(0)
    with pytest.raises(PlanError, match="classifier"):
        pointwise(graph, plan, 100)


def test_runs_go_on_where_they_were(options: TrainOptions, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"

    def stop(done: int, total: int) -> None:
        assert total == 26  # 3 sets of biases, 10 shares, two seeds of each
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Analysis(options, [1, 3], 2, path).measure(Processes(2), stop)
    first = path.read_text()
    assert len(first.splitlines()) == 1 + 5
    path.write_text(first + '{"biases": 3, "sha')  # killed as it wrote
    calls = []
    analysis = Analysis(options, [1, 3], 2, path)
    analysis.measure(Processes(1), lambda *call: calls.append(call))
    assert calls == [(done, 26) for done in range(5, 27)]
    assert path.read_text().startswith(first)
    assert len(path.read_text().splitlines()) == 1 + 26
    assert set(analysis.results.accuracy) == set(analysis.runs())

    again = Analysis(options, [1, 3], 2, path)
    again.measure(Processes(1), lambda *call: None)
    assert again.gains() == analysis.gains()
    # Nothing that is as by default: options to come change no file that there is.
    assert json.loads(first.partition("\n")[0]).keys() == {
        "microtrain_search", "epochs", "lr", "model_sha256", "data_sha256", "val_sha256"
    }  # fmt: skip

    # One of them, by the command that trains.
    run = Run(Selection(3, (shares(analysis.graph, 3)[-1],)), 2)
    scheme = tmp_path / "scheme.json"
    scheme.write_text(json.dumps(run.selection.scheme(analysis.graph, "one")))
    with open_device("virtual") as device:
        done = train(device, replace(options, scheme=str(scheme), seed=2), lambda event: None).done
    assert done["val_accuracy_after"] == analysis.results.accuracy[run]


@pytest.mark.slow
def test_a_ray_cluster_measures_the_same(options: TrainOptions, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'microtrain[ray]'")

    def measured(name: str, executor: Executor) -> list[str]:
        Analysis(options, [2], 1, tmp_path / name).measure(executor, lambda *call: None)
        return sorted((tmp_path / name).read_text().splitlines())

    def folders() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("microtrain-ray-*"))

    before = folders()
    assert measured("ray", RayCluster("local", 2)) == measured("here", Processes(1))
    wrong = replace(options, new_head=1)
    with pytest.raises(MicrotrainError) as here:
        next(Processes(1).measure(wrong, [Run(Selection(0), 1)]))
    with pytest.raises(type(here.value), match=re.escape(str(here.value))):
        next(RayCluster("local", 2).measure(wrong, [Run(Selection(0), 1)]))
    assert folders() <= before


@pytest.mark.slow
def test_no_ray_cluster(options: TrainOptions) -> None:
    pytest.importorskip("ray", reason="pip install 'microtrain[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DeviceError, match=f"no Ray cluster at '{address}'"):
        next(RayCluster(address, None).measure(options, [Run(Selection(0), 1)]))


@pytest.mark.parametrize("package", ["ray", "pymoo"])
def test_a_package_that_is_missing_is_named(
    package: str, options: TrainOptions, plan: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MicrotrainError, match=rf"{package}: pip install 'microtrain\["):
        if package == "ray":
            next(RayCluster("local", None).measure(options, [Run(Selection(0), 1)]))
        gains = random_gains(plan.graph, 0)
        evolve(Candidates(gains, layers(plan.graph), plan, 9999, 9, lambda *call: None), 0)


def test_gains_are_differences_of_means(options: TrainOptions, tmp_path: Path) -> None:
    analysis = Analysis(options, [1, 3], 2, tmp_path / "results.jsonl")
    for number, run in enumerate(analysis.runs()):
        analysis.results.add(run, number / 100)
    gains = analysis.gains()
    assert gains.base == pytest.approx(0.005)
    assert gains.biases == pytest.approx({0: 0, 1: 0.02, 3: 0.04})
    assert list(gains.shares.values()) == pytest.approx([0.02 * n for n in range(1, 11)])
    less = gains.less(0.05)
    assert list(less.shares.values()) == pytest.approx([0.02 * n - 0.05 for n in range(1, 11)])
    assert (less.base, less.biases) == (gains.base, gains.biases)


@pytest.mark.parametrize(
    "change", [{"epochs": 2}, {"lr": 0.1}, {"wide": True}, {"model": "other.mtm"}]
)
def test_results_of_something_else_are_refused(
    change: dict[str, Any], options: TrainOptions, files: Path, tmp_path: Path
) -> None:
    Analysis(options, [1], 1, tmp_path / "results.jsonl")
    (name, value), = change.items()
    other = replace(options, **{name: files / value if name == "model" else value})
    with pytest.raises(DataError, match=rf"something else \({name}(_sha256)? differ\)"):
        Analysis(other, [1], 1, tmp_path / "results.jsonl")


@pytest.mark.parametrize("text", ["[]\n", "{\n", '{"microtrain_search": 1}\n{"biases": 1}\n'])
def test_what_is_no_file_of_results(text: str, options: TrainOptions, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"results\.jsonl"):
        Analysis(options, [1], 1, tmp_path / "results.jsonl")


def test_the_command(files: Path, tmp_path: Path) -> None:
    arguments = ["search", "--model", str(files / "tiny.mtm"), "--data", str(files / "train.mtd"),
                 "--val", str(files / "val.mtd"), "--lr", "0.006", "--jobs", "2",
                 "--results", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "s.json"),
                 "--budget", "4200"]  # fmt: skip
    text = run_cli(*arguments, folder=tmp_path / "board")
    assert text.returncode == 0, text.stderr
    assert "biases of the last" in text.stdout and "pointwise expansions: " in text.stdout
    other = run_cli(*arguments, "--evolution", "60", "--json", folder=tmp_path / "board")
    found = json.loads(other.stdout)
    assert found["evolution"]["samples"] == found["random"]["samples"] == 60
    assert found["random"]["gain"] <= found["evolution"]["gain"] <= found["gain"]
    assert found["proven"] and found["total_ram_bytes"] <= 4200
    assert f"{found['total_ram_bytes']:,} bytes" in text.stdout
    dear = json.loads(run_cli(*arguments, "--share-cost", "100", "--json",
                              folder=tmp_path / "board").stdout)  # fmt: skip
    assert dear["gain"] in dear["bias_gains"].values()
    assert dear["bias_gains"] == found["bias_gains"]
    assert run_cli(*arguments, folder=tmp_path / "board").returncode == 0
    assert json.loads((tmp_path / "s.json").read_text()) == found["scheme"]
    trained = run_cli(
        "train", "--model", str(files / "tiny.mtm"), "--data", str(files / "train.mtd"),
        "--scheme", str(tmp_path / "s.json"), "--json", folder=tmp_path / "board",
    )  # fmt: skip
    done = json.loads(trained.stdout.splitlines()[-1])
    assert done["total_ram_bytes"] == found["total_ram_bytes"]
    bad = run_cli(*arguments, "--biases", "4", folder=tmp_path / "board")
    assert bad.returncode == 1 and "1 to 3" in bad.stderr
    bad = run_cli(*arguments, "--biases", "few", folder=tmp_path / "board")
    assert bad.returncode == 2 and "not a list like" in bad.stderr


def test_ctrl_c_ends_the_boards_too(files: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    process = subprocess.Popen(
        [*COMMAND, "search", "--model", "tiny.mtm", "--data", "train.mtd", "--val", "val.mtd",
         "--budget", "4200", "--epochs", "100", "--results", str(results), "--jobs", "2"],
        cwd=files, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not results.exists() or results.read_text().count("\n") < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130 and errors.strip() == "stopped"
    assert results.read_text().endswith("}\n")


@pytest.mark.slow
def test_the_recorded_search(tmp_path: Path) -> None:
    shared("data/mcunet/sparse_update_configs.json")
    out = tmp_path / "out.json"
    command = [sys.executable, str(BENCH), "--samples", "0", "--seeds", "0", "--out", str(out)]
    subprocess.run(command, check=True, cwd=tmp_path)
    rows = json.loads(out.read_text())
    assert [row["label"] for row in rows] == ["49kb", "99kb"]
    # The proof of the larger budget comes to its limit first.
    assert rows[0]["gain"] == rows[0]["bound"] > 0
    assert 0 < rows[1]["gain"] <= rows[1]["bound"]
