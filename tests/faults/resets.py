"""An emulated RP2040 that trains by itself and loses its power after any instruction."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tiny_net
from killed_runs import options
from power_cuts import BOARD, HERE, SEED

from microtrain.link import Device
from microtrain.link.emulated import FLASH_NAME, LIBRARY, EmulatedRP2040
from microtrain.run.train import Training

RECORD = "/microtrain-run.json"


@dataclass(frozen=True)
class Resets:
    """Instructions of a run from power-on to its end; how often the power went in `runs` such
    runs; and those that did not end in the checkpoint of the run that nothing happened to."""

    instructions: int
    runs: int
    cuts: int
    mismatches: int


def measure(runs: int, cuts: int, seed: int = SEED) -> Resets:
    """`runs` runs that each lose their power at most `cuts` times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with EmulatedRP2040(folder) as board, Device(board.port) as device:
            tiny_net.write_all(folder)
            training = Training(device, replace(options(folder), epochs=2))
            device.push(BOARD / "rp2040_main.py", "/main.py")
            # What start() leaves before its first step.
            device.write(RECORD, json.dumps({"options": training.board_options}).encode())
        command = [
            "node", HERE / "resets.mjs", LIBRARY, folder / FLASH_NAME, BOARD / "rp2040_result.py",
            str(runs), str(cuts), str(seed),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, *found = map(json.loads, result.stdout.splitlines())
    digests = whole["found"].split()
    if len(digests) != 2 or digests[0] != digests[1]:
        raise RuntimeError(f"the run that nothing happened to has left {whole['found']}")
    return Resets(
        whole["steps"], len(found), sum(len(run["went"]) for run in found),
        sum(run["found"] != whole["found"] for run in found),
    )  # fmt: skip
