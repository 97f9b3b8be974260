"""What only the emulated RP2040 has: its chip, its boot mode, its flash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtrain.link import Device
from microtrain.link.emulated import EmulatedRP2040

REPO = Path(__file__).resolve().parents[2]
FLASH_BASE = 0x10000000
ROMFS = range(FLASH_BASE + (512 << 10), FLASH_BASE + (1536 << 10))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[EmulatedRP2040]:
    with EmulatedRP2040(tmp_path / "board") as board:
        yield board


def test_the_chip_is_the_chip(board: EmulatedRP2040) -> None:
    with Device(board.port) as device:
        assert device.eval("__import__('sys').platform") == "rp2"
        device._start("import machine\nmachine.reset()")
    with Device(board.port) as device:
        assert device.eval("__import__('machine').reset_cause()") == 3  # by the watchdog


def test_romfs_is_flash(board: EmulatedRP2040) -> None:
    code = "import vfs, uctypes\nprint(uctypes.addressof(vfs.rom_ioctl(2, 0)))"
    with Device(board.port) as device:
        assert int(device.exec(code)) in ROMFS


def test_boot_mode(board: EmulatedRP2040) -> None:
    with Device(board.port) as device:
        device._start("import machine\nmachine.bootloader()")
        deadline = time.monotonic() + 10
        while "boot mode" not in board.errors():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_firmware_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.uf2"
    broken.write_bytes(bytes(1024))
    with EmulatedRP2040(tmp_path / "board", firmware=broken) as board:
        deadline = time.monotonic() + 10
        while board.is_running():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "is no UF2 file" in board.errors()
