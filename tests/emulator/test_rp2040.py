"""The firmware of a Raspberry Pi Pico, in the emulator of its chip, as a person uses the board."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtrain.errors import DeviceError
from microtrain.link import Device, open_device
from microtrain.link.emulated import EmulatedRP2040

REPO = Path(__file__).resolve().parents[2]
FLASH_BASE = 0x10000000
ROMFS = range(FLASH_BASE + (512 << 10), FLASH_BASE + (1536 << 10))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[EmulatedRP2040]:
    with EmulatedRP2040(tmp_path / "board") as board:
        yield board


def mpremote(board: EmulatedRP2040, *arguments: str) -> str:
    command = [sys.executable, "-m", "mpremote", "connect", board.port, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_repl_answers(board: EmulatedRP2040) -> None:
    with Device(board.port) as device:
        assert device.eval("__import__('sys').platform") == "rp2"
        # The ROM's float functions: single precision, rounded to nearest even.
        for expression in ("1 / 3 == 0.33333334", "16777216.0 + 1 == 16777216.0",
                           "int(-7.9) == -7", "1e38 * 10 == float('inf')",
                           "float(2**40 + 1) == 2.0**40", "3.0 * -0.5 == -1.5"):  # fmt: skip
            assert device.eval(expression), expression
        assert device.eval("__import__('gc').mem_free()") > 230_000
        start = time.monotonic()
        device.exec("import time\ntime.sleep(0.5)")
        assert time.monotonic() - start > 0.45
    assert mpremote(board, "eval", "6 * 7") == "42\n"


def test_files_survive_resets_and_power_cuts(tmp_path: Path) -> None:
    data = os.urandom(20_000)
    with EmulatedRP2040(tmp_path) as board:
        with Device(board.port) as device:
            device.write("/kept.bin", data)
            device._start("import machine\nmachine.reset()")
        with Device(board.port) as device:
            assert device.eval("__import__('machine').reset_cause()") == 3  # by the watchdog
            assert device.read("/kept.bin") == data
        board.kill()
    with EmulatedRP2040(tmp_path) as board, Device(board.port) as device:
        assert device.read("/kept.bin") == data


def test_romfs_is_read_in_place(board: EmulatedRP2040, tmp_path: Path) -> None:
    content = tmp_path / "rom"
    content.mkdir()
    data = os.urandom(20_000)
    (content / "weights.bin").write_bytes(data)
    mpremote(board, "romfs", "deploy", str(content))
    with Device(board.port) as device:
        assert device.eval("sum(memoryview(open('/rom/weights.bin', 'rb')))") == sum(data)
        address = "__import__('uctypes').addressof(memoryview(open('/rom/weights.bin', 'rb')))"
        assert device.eval(address) in ROMFS


def test_boot_mode(board: EmulatedRP2040) -> None:
    with Device(board.port) as device:
        device._start("import machine\nmachine.bootloader()")
        deadline = time.monotonic() + 10
        while "boot mode" not in board.errors():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_firmware_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROTRAIN_RP2040", str(tmp_path / "missing.uf2"))
    with pytest.raises(DeviceError, match="run `make firmware BOARD=RPI_PICO`"):
        open_device("emu:rp2040")
    broken = tmp_path / "broken.uf2"
    broken.write_bytes(bytes(1024))
    with EmulatedRP2040(tmp_path / "board", firmware=broken) as board:
        deadline = time.monotonic() + 10
        while board.is_running():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "is no UF2 file" in board.errors()
