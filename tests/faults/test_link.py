"""The link over a line with faults, and runs that are killed: a few of what
`make bench-faults` does many of."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_net
from killed_runs import Run, sha256_of_plain_run
from lines import faulty

from microtrain.link import Device, VirtualBoard
from microtrain.run.train import Training, TrainOptions

PROGRAM = Path(sys.executable).with_name("microtrain")
FAULTS: dict[str, dict[str, Any]] = {
    "clean": {},
    "lossy": {"drop": 0.02, "damage": 0.02, "repeat": 0.01},
    "disordered": {"reorder": 0.05, "delay": 0.05, "repeat": 0.05},
    "pulled": {"drop": 0.01, "damage": 0.01, "disconnections": 5, "disconnect_every": 150_000},
}


@pytest.mark.parametrize("kind", FAULTS)
def test_files_arrive_whole(tmp_path: Path, kind: str) -> None:
    data = random.Random(5).randbytes(1_000_000)
    counts: dict[str, int] = {}
    with (
        VirtualBoard(tmp_path / "board") as board,
        faulty(board.port, tmp_path / "port", counts, **FAULTS[kind]) as port,
        Device(port) as device,
    ):
        device.write("/file", data)
        assert (board.folder / "file").read_bytes() == data
        assert device.read("/file") == data
    faults = {"lossy": ("dropped", "damaged", "repeated"), "disordered": ("reordered", "delayed"),
              "pulled": ("disconnected",)}.get(kind, ())  # fmt: skip
    assert all(counts[name] for name in faults)
    assert kind != "pulled" or counts["disconnected"] == 5


def test_a_pull_whose_program_was_killed_goes_on(tmp_path: Path) -> None:
    data = random.Random(7).randbytes(30_000_000)
    local = tmp_path / "copy"
    counts: dict[str, int] = {}
    with VirtualBoard(tmp_path / "board") as board:
        (board.folder / "file").write_bytes(data)
        process = subprocess.Popen(
            [PROGRAM, "pull", "/file", "-o", str(local), "--port", board.port],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        here = 0
        while here < len(data) // 4:
            assert process.poll() is None
            here = sum(part.stat().st_size for part in tmp_path.glob("copy.*.part"))
            time.sleep(0.001)
        process.kill()
        process.wait()
        [part] = tmp_path.glob("copy.*.part")
        here = part.stat().st_size
        assert here < len(data) and not local.exists()
        with (
            faulty(board.port, tmp_path / "port", counts) as port,
            Device(port) as device,
        ):
            device.pull("/file", local)
    assert local.read_bytes() == data and not part.exists()
    # Framing adds one percent; the board may still send what was under way.
    assert counts["from_board"] < 1.02 * (len(data) - here) + 500_000


def test_a_small_window_and_small_messages(tmp_path: Path) -> None:
    """As a board behind a serial chip has it."""
    data = random.Random(6).randbytes(40_000)
    counts: dict[str, int] = {}
    with (
        VirtualBoard(tmp_path / "board", heap=128 << 10) as board,
        faulty(board.port, tmp_path / "port", counts, **FAULTS["lossy"]) as port,
        Device(port) as device,
    ):
        assert device.session.block == 1024
        device.session.block = 192
        device.write("/file", data)
        assert device.read("/file") == data


@pytest.mark.parametrize("kind", ["lossy", "disordered", "pulled"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_event_is_lost(tmp_path: Path, kind: str, stream: bool) -> None:
    tiny_net.write_all(tmp_path)
    options = TrainOptions(
        model=tmp_path / "tiny.mtm", data=tmp_path / "train.mtd", val=tmp_path / "val.mtd",
        epochs=40, stream=stream, save=tmp_path / "result.mtc",
    )  # fmt: skip
    faults = FAULTS[kind] | ({"disconnect_every": 3000} if kind == "pulled" else {})
    counts: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    with VirtualBoard(tmp_path / "board") as board:
        with (
            faulty(board.port, tmp_path / "port", counts, **faults) as port,
            Device(port) as device,
        ):
            done = Training(device, options).run(events.append).done
        with Device(board.port) as device:
            plain: list[dict[str, Any]] = []
            expected = Training(device, options).run(plain.append).done
    assert done["checkpoint_sha256"] == expected["checkpoint_sha256"]
    steps = [event for event in events if event["event"] == "step"]
    assert sum(event["samples"] for event in steps) == done["steps"] == 40 * 64
    for name in ("epoch", "eval", "done"):
        assert [_same(e) for e in events if e["event"] == name] == [
            _same(e) for e in plain if e["event"] == name
        ]


def _same(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "samples_per_s"}


@pytest.mark.parametrize("seed", range(3))
def test_killed_runs_end_in_the_same_bytes(tmp_path: Path, seed: int) -> None:
    expected = sha256_of_plain_run(tmp_path)
    run = Run(tmp_path / "board", tmp_path, seed)
    assert run.sha256(4) == expected
    assert sum(run.accidents.values()) == 4


def test_boards_side_by_side(tmp_path: Path) -> None:
    from many_boards import Boards

    threads = threading.active_count()
    found = Boards(tmp_path, 4).run(seconds=2)
    assert found.boards == 4 and found.runs >= 4 and found.lost_events == 0
    assert threading.active_count() == threads and found.leaked_descriptors == 0
