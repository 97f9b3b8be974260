"""`microtrain firmware flash RPI_PICO` with an emulated board: from its prompt into boot mode, the
UF2 onto a folder that stands for the drive, and the board started from the very file put there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import COMMAND
from uf2_files import make_drive, make_uf2

from microtrain.link import Device
from microtrain.link.emulated import FLASH_NAME, EmulatedRP2040, rp2040_firmware_path
from microtrain.link.firmware import ENGINE_ABI
from microtrain.link.rom import Rom

PROGRAM_BYTES = 512 << 10


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_flash(*arguments: str, drives: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "firmware", "flash", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"MICROTRAIN_DRIVES": str(drives)},
    )  # fmt: skip


def test_flash_over_the_running_firmware(tmp_path: Path) -> None:
    folder, drive, port = tmp_path / "board", tmp_path / "drive", tmp_path / "port"
    size = rp2040_firmware_path().stat().st_size
    with EmulatedRP2040(folder) as board:
        with Device(board.port) as device:
            device.write("/kept.bin", b"kept" * 1000)
            rom = Rom.of(device)
            assert rom is not None
            rom.put("model", b"model" * 1000)
        port.symlink_to(board.port)
        command = start_flash("RPI_PICO", "--port", str(port), "--yes", "--json", drives=drive)
        wait_for(lambda: "boot mode" in board.errors())
    # What the boot ROM does, from here. The old program is gone for good:
    flash = folder / FLASH_NAME
    flash.write_bytes(b"\xff" * PROGRAM_BYTES + flash.read_bytes()[PROGRAM_BYTES:])
    make_drive(drive)
    written = drive / "firmware.uf2"
    wait_for(lambda: written.exists() and written.stat().st_size == size)
    taken = drive.rename(tmp_path / "taken") / "firmware.uf2"
    with EmulatedRP2040(folder, firmware=taken) as board:
        port.unlink()
        port.symlink_to(board.port)
        out, err = command.communicate(timeout=90)
        assert command.returncode == 0, err
        report = json.loads(out)
        assert report["verified"] and report["firmware"]["machine"].endswith("RP2040")
        assert report["firmware"]["abi"] == ENGINE_ABI
        assert "The files and ROMFS of this board stay" in err
        with Device(board.port) as device:
            assert device.read("/kept.bin") == b"kept" * 1000
            assert device.read("/rom/model") == b"model" * 1000


@pytest.fixture
def other_chip(tmp_path: Path) -> Path:
    path = tmp_path / "pico2.uf2"
    path.write_bytes(make_uf2(b"program", "rp2350"))
    return path


def test_firmware_for_another_chip_is_not_flashed(tmp_path: Path, other_chip: Path) -> None:
    with EmulatedRP2040(tmp_path / "board") as board:
        command = start_flash("RPI_PICO2", "--firmware", str(other_chip), "--port", board.port,
                              "--yes", drives=tmp_path)  # fmt: skip
        _, err = command.communicate(timeout=60)
        assert command.returncode == 1
        assert err == (
            f"Error: wrong board: {board.port} is a Raspberry Pi Pico with microtrain with "
            "RP2040, RPI_PICO2's firmware is for the RP2350\n"
        )
        with Device(board.port) as device:
            assert device.eval("1 + 1") == 2
