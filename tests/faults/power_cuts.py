"""Power cuts in the middle of what a board writes: what is found after them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import tiny_net  # noqa: E402

from microtrain.link import Device, VirtualBoard  # noqa: E402
from microtrain.link.emulated import FLASH_NAME, LIBRARY, EmulatedRP2040  # noqa: E402

BOARD = HERE / "board"
KINDS = (
    "checkpoint, one generation", "checkpoint, two generations",
    "checkpoint of a fit, 24 KB, two generations", "model image, pushed over another",
)  # fmt: skip
CONTROL = "control: removed before it is written"
SEED = 20261125


@dataclass(frozen=True)
class Cuts:
    """saves of one kind; their erases and writes of the flash; cuts in them; and losses: neither
    the old nor the new content was found, or the file system did not go on."""

    kind: str
    where: str
    saves: int
    operations: int
    cuts: int
    losses: int


def virtual(kind: str, saves: int, chip: str = "Flash") -> Cuts:
    """Every operation of `saves` saves cut in every way, on a chip in the virtual board's RAM:
    "Flash" has littlefs, "Disk" FAT on sectors that are written as a whole."""
    with VirtualBoard() as board, Device(board.port) as device:
        push_files(device)
        for name in ("power.py", "cuts.py"):
            device.push(BOARD / name, f"/{name}")
        code = f"import cuts\ncuts.run({kind!r}, {saves}, cuts.{chip})"
        # Files that were open when the power went complain at their end: the last line counts.
        operations, cuts, losses = map(int, device.exec(code, timeout=900).split("\n")[-2].split())
    where = {"Flash": "littlefs", "Disk": "FAT, whole sectors"}[chip]
    return Cuts(kind, f"virtual board, {where}", saves, operations, cuts, losses)


def push_files(device: Device) -> None:
    """The network and data that the scripts in board/ use."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_net.write_all(Path(folder))
        for name in ("tiny.mtm", "other.mtm", "train.mtd", "val.mtd"):
            device.push(Path(folder) / name, f"/{name}")


def rp2040(cuts: int, seed: int = SEED) -> Cuts:
    """Cuts at random operations of saves by an RP2040, each with a random part done."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EmulatedRP2040(folder) as board, Device(board.port) as device:
            push_files(device)
        command = [
            "node", HERE / "power_cuts.mjs", LIBRARY, folder / FLASH_NAME,
            BOARD / "rp2040_record.py", BOARD / "rp2040_check.py", str(cuts), str(seed),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    recorded, operations, *found = map(json.loads, result.stdout.splitlines())
    states = recorded["recorded"].splitlines()
    losses = sum(not _as_it_should(states, cut) for cut in found)
    return Cuts(
        "checkpoints, one and two generations", "emulated RP2040, littlefs", len(states),
        operations["operations"], len(found), losses,
    )  # fmt: skip


def _as_it_should(states: list[str], cut: dict[str, object]) -> bool:
    """Odd saves are of one file, even ones of another; the power went in save `cut["save"]`."""
    save = cut["save"]
    assert isinstance(save, int)
    known = ["0 none", "0 none", *states]  # known[n + 1]: what save n, from 1 on, has written
    written, other = (known[save + 1], known[save - 1]), known[save]
    lines = str(cut["found"]).splitlines()
    if len(lines) != 2:
        return False  # a traceback
    mine, its = (lines[0], lines[1]) if save % 2 else (lines[1], lines[0])
    return mine in written and its == other
