"""What is built takes no more flash and RAM than boards/BOARD/budget.json allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
# Most bytes of code that the kernels of an instruction set take (core/arch).
KERNELS = {"RPI_PICO": 8 * 1024, "QEMU_CORTEX_M33": 10 * 1024}
BUILT = sorted((REPO / "build" / "firmware-build").glob("*/firmware.elf"))


@pytest.mark.parametrize("elf", BUILT, ids=lambda elf: elf.parent.name)
def test_budget(elf: Path) -> None:
    footprint = REPO / "boards" / "footprint.py"
    command = [sys.executable, str(footprint), elf.parent.name, str(elf), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("board", "most"), KERNELS.items())
def test_kernels_are_small(board: str, most: int) -> None:
    objects = [
        path for path in (REPO / "build" / "firmware-build" / board).rglob("*.o*")
        if "core/arch/" in str(path) and path.suffix in (".o", ".obj")
    ]  # fmt: skip
    command = ["arm-none-eabi-size", *map(str, objects)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    total = sum(int(line.split()[0]) for line in lines[1:])
    assert 1024 < total <= most
