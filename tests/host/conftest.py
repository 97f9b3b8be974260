"""Tests of the host package share helpers with each other, beside those of tests/."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from microtrain.link import Device, VirtualBoard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    with VirtualBoard(tmp_path / "board", heap=4 << 20) as board:
        yield board


@pytest.fixture
def device(board: VirtualBoard) -> Iterator[Device]:
    with Device(board.port) as device:
        yield device
