"""A fit that ends after any of its steps goes on to the same bytes and reports."""

from __future__ import annotations

from power_cuts import BOARD, push_files

from microtrain.link import Device, VirtualBoard


def test_every_step() -> None:
    with VirtualBoard() as board, Device(board.port) as device:
        push_files(device)
        printed = device.exec((BOARD / "every_step.py").read_text(), timeout=200)
    assert printed == "63 0\n"
