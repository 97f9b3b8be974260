"""What is built takes no more flash and RAM than boards/BOARD/budget.json allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
BUILT = sorted((REPO / "build" / "firmware-build").glob("*/firmware.elf"))


@pytest.mark.parametrize("elf", BUILT, ids=lambda elf: elf.parent.name)
def test_budget(elf: Path) -> None:
    footprint = REPO / "boards" / "footprint.py"
    command = [sys.executable, str(footprint), elf.parent.name, str(elf), "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
