"""READMEs say what is: every command and session in them runs and prints what they show.

`make demo` is run once for all, `make demo-images` in the slow set. Not run here: cloning (the
clone that is tested is the one this file lies in). firmware/README.md's session is run by
tests/device, on small data.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from command_line import COMMAND
from readme_blocks import REPO, Prompt, blocks, play, same, workplace
from shared import shared

from microtrain import dataset, image
from microtrain.importers import onnx_nodes, tflite_ops
from microtrain.importers.mcunet import import_mcunet
from microtrain.link.emulated import EmulatedRP2040
from microtrain.link.ports import open_device
from microtrain.run.inputs import load_data, load_image
from microtrain.run.plan import plan

README = REPO / "README.md"
READMES = sorted(
    REPO / path
    for path in subprocess.run(
        ["git", "ls-files", "*README.md"], cwd=REPO, text=True, capture_output=True, check=True
    ).stdout.split()
)
# Covered otherwise, see above.
NOT_HERE = ("make demo", "git clone", "cd microtrain")
RUN_ELSEWHERE = {"firmware/README.md"}


def make(target: str, timeout: float) -> str:
    """What `make TARGET` prints in the repository."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    result = subprocess.run(
        ["make", "--no-print-directory", target], cwd=REPO, text=True, capture_output=True,
        env=environment, timeout=timeout,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def demo() -> str:
    """What `make demo` prints. It leaves its files in build/demo."""
    return make("demo", 280)


def test_the_demo_prints_what_the_readme_shows(demo: str) -> None:
    steps = [s for b in blocks(README) if b.language == "console" for s in b.steps()]
    (shown,) = [step.output for step in steps if step.code == "make demo"]
    table = demo[demo.index("Two people") :].rsplit("wrote ", 1)[0]
    assert shown and same(shown, table), demo


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_of_doodles_reaches_what_the_readme_says() -> None:
    printed = make("demo-images", 880)
    said = re.search(
        r"([\d.]+%) of 1,200 others are\s+right with a new head, ([\d.]+%) with head and last",
        README.read_text(),
    )
    rows = re.findall(r"│ head[^│]*│[^│]*│ +([\d.]+%) │", printed)
    assert said and len(rows) == 2, printed
    assert all(map(same, said.groups(), rows)), printed


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(REPO)))
def test_every_block_runs(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    name = str(path.relative_to(REPO))
    active = [block for block in blocks(path) if block.language not in ("text", "json")]
    if not active:
        return  # only text: blocks() has refused what nobody would run
    if name in RUN_ELSEWHERE:
        assert all(block.language == "python" for block in active)
        return
    request.getfixturevalue("demo")
    for step, printed in play(path, workplace(tmp_path), NOT_HERE):
        place = f"{name}, line {step.line}: {step.code}\n"
        assert step.output is None or same(step.output, printed), place + printed


@pytest.mark.timeout(600)
def test_the_session_is_the_same_on_an_emulated_rp2040(demo: str, tmp_path: Path) -> None:
    folder, board = workplace(tmp_path) / "build/demo", tmp_path / "board"
    subprocess.run(
        [*COMMAND, "import", REPO / "tests/demo/watch_cnn.onnx", "--calib", "calibration.npz",
         "-o", "watch.mtm"], cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    model = load_image(folder / "watch.mtm")
    with open_device("emu:rp2040", folder=board) as device:
        device.write("/watch.mtm", model.data)
        for name in ("person2_train", "person2_test"):
            data = load_data(folder / f"{name}.npz", model.graph)
            device.write(f"/{name}.mtd", dataset.to_bytes(data))
    (session,) = (block for block in blocks(README) if block.language == "python")
    prompt = Prompt(EmulatedRP2040(board), timeout=300)
    try:
        for step in session.steps():
            printed = prompt.run(step.code)
            assert step.output is None or same(step.output, printed), step.code + printed
    finally:
        prompt.close()


def test_what_fits_is_what_the_planner_says(tmp_path: Path) -> None:
    """Every number of the README's table of MCUNetV3's backbones, in bytes."""
    rows = re.findall(r"^\| ([\w.-]+) \| ([\d,]+) \| (.*) \|$", README.read_text(), re.M)
    assert len(rows) == 3
    schemes = f"{shared('data/mcunet/sparse_update_configs.json')}#"
    with open_device("virtual") as device:
        for model, flash, cells in rows:
            path = tmp_path / f"{model}.mtm"
            image.write(import_mcunet(shared(f"data/mcunet/models_npz/{model}.npz")), path)
            assert path.stat().st_size == number(flash)
            last, bias, small, largest, full = cells.split(" | ")
            name, _, largest = largest.partition(" ")
            for scheme, cell in {
                "last": last, "bias": bias, f"{schemes}{model}/49kb": small,
                f"{schemes}{model}/{name.strip('`')}": largest, "full": full,
            }.items():  # fmt: skip
                found, _ = plan(device, path, scheme, new_head=10)
                assert found["total_ram_bytes"] == number(cell), (model, scheme)


def test_the_lists_of_operators_are_the_importers() -> None:
    _, _, listed = README.read_text().partition("## Operators")
    tflite, onnx = (
        set(re.findall(r"\b[A-Z]\w+", bullet))
        for bullet in re.split(r"^- (?=`\.)|^$", listed, flags=re.M)
        if bullet.startswith("`.")
    )
    assert tflite == tflite_ops.SUPPORTED
    assert onnx == onnx_nodes.HANDLERS.keys()


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


@pytest.mark.parametrize(
    ("shown", "printed", "agrees"),
    [
        ("a 12 b", "a 12 b\n", True),
        ("a 12 b", "a 13 b", False),
        ("loss 0.500, ... samples/s", "loss 0.450, 1,234 samples/s", True),
        ("loss 0.500", "loss 0.300", False),
        ("93.0% of 1,000", "91.5% of 1,000", True),
        ("93.0%", "87.9%", False),
        ("93.0%", "93.0", False),
        ("one\n...\nthree", "one\ntwo\nthree", True),
        ("one", "one two", False),
        ("", "something", False),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str, agrees: bool) -> None:
    assert same(shown, printed) is agrees
