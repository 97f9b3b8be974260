"""UF2 files are checked before a boot drive sees them; drives are found, and told apart."""

from __future__ import annotations

import json
import os
import random
import struct
import threading
import time
from pathlib import Path

import pytest
from command_line import run_cli
from uf2_files import make_drive, make_uf2

from microtrain.errors import DeviceError
from microtrain.flash import boot_drive, rp2, uf2
from microtrain.flash.boards import find_board
from microtrain.flash.rp2 import Rp2Flash

PROGRAM = random.Random(1).randbytes(5000)


def changed(data: bytes, block: int, word: int, value: int) -> bytes:
    copy = bytearray(data)
    struct.pack_into("<I", copy, 512 * block + 4 * word, value)
    return bytes(copy)


def test_a_uf2_file_is_what_it_writes() -> None:
    found = uf2.parse(make_uf2(PROGRAM), "rp2040")
    assert found.size == 5120
    assert found.content() == PROGRAM + b"\xff" * 120


def test_a_block_against_the_erratum_is_let_through() -> None:
    absolute = changed(make_uf2(b"x", "rp2350", 0x10FFFF00), 0, 7, 0xE48BFF57)
    assert uf2.parse(absolute + make_uf2(PROGRAM, "rp2350"), "rp2350").size == 5120


GOOD = make_uf2(PROGRAM)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no UF2 file: its 0 bytes"),
        (GOOD[:-1], "no multiple of 512"),
        (bytes(1024), "no block at 0"),
        (changed(GOOD, 2, 0, 0), "no block at 1024"),
        (changed(GOOD, 2, 1, 0), "no block at 1024"),
        (changed(GOOD, 2, 127, 0), "no block at 1024"),
        (GOOD[:-512], "cut short: 19 of 20 blocks"),
        (GOOD[:512] + GOOD[1024:], "number 2, 1 expected"),
        (GOOD[:512] + GOOD, "number 0, 1 expected"),
        (changed(GOOD, 3, 3, 0x20000000), "256 bytes for 0x20000000"),
        (changed(GOOD, 3, 3, 0x10000001), "256 bytes for 0x10000001"),
        (changed(GOOD, 3, 4, 477), "477 bytes"),
        (changed(GOOD, 3, 2, 0), "does not say for which chip"),
        (changed(GOOD, 3, 7, 0x1234), r"for another chip \(family 0x00001234\), not for RP2040"),
        (make_uf2(PROGRAM, base=0x10001000), "nothing for the flash's start"),
        (make_uf2(PROGRAM, "rp2350"), "wrong board: this UF2 file is for RP2350, not for RP2040"),
    ],
)
def test_files_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        uf2.parse(data, "rp2040")


class TestDrives:
    """Folders stand for drives: MICROTRAIN_DRIVES lists them."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path
        self.image = tmp_path / "firmware.uf2"
        self.image.write_bytes(GOOD)
        places = [str(tmp_path / name) for name in ("a", "b", "usb stick")]
        (tmp_path / "usb stick").mkdir()
        monkeypatch.setenv("MICROTRAIN_DRIVES", os.pathsep.join(places))
        monkeypatch.setattr(boot_drive, "LEAVE_TIMEOUT_S", 1.0)

    def flash(self, drive: Path | None = None) -> Rp2Flash:
        return Rp2Flash(find_board("RPI_PICO"), self.image, drive)

    def test_none(self) -> None:
        with pytest.raises(DeviceError, match=r"no boot drive of an RP2040 found: hold BOOTSEL"):
            self.flash()
        with pytest.raises(DeviceError, match=r"usb stick is no boot drive: it has no INFO_UF2"):
            self.flash(self.folder / "usb stick")

    def test_two(self) -> None:
        make_drive(self.folder / "a")
        make_drive(self.folder / "b")
        with pytest.raises(DeviceError, match=r"two boards are in boot mode: .*a and .*b: name"):
            self.flash()
        assert "restart" not in self.flash(self.folder / "b").losses()
        assert not (self.folder / "b" / "firmware.uf2").exists()

    def test_of_another_chip(self) -> None:
        make_drive(self.folder / "a", "rp2350")
        with pytest.raises(DeviceError, match=r"wrong board: the boot drive .*a is that of"):
            self.flash()
        make_drive(self.folder / "b")
        self.flash()  # beside the one it is for

    def test_that_does_not_take_it(self) -> None:
        make_drive(self.folder / "a")
        with pytest.raises(DeviceError, match="still a boot drive 1 s after 10240 bytes"):
            self.flash().run()

    def test_that_was_mounted_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It stays mounted, readable from the system's memory, when the board has restarted."""
        monkeypatch.setattr(rp2, "RESTART_TIMEOUT_S", 0.1)
        drive, device = make_drive(self.folder / "a"), self.folder / "sda1"
        device.touch()
        monkeypatch.setattr(boot_drive, "_linux_mounts", lambda: [(device, drive)])
        thread = threading.Timer(0.3, device.unlink)
        thread.start()
        assert self.flash(drive).run().size == 5120

    def test_nothing_is_written_unasked(self) -> None:
        make_drive(self.folder / "a")
        result = run_cli("firmware", "flash", "RPI_PICO", "--firmware", str(self.image),
                         folder=self.folder)  # fmt: skip
        assert result.returncode == 1
        assert "ITS FILES ARE LOST" in result.stderr
        assert "nothing was written: --yes" in result.stderr
        assert not (self.folder / "a" / "firmware.uf2").exists()

    def test_flash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The board takes the file, and its drive goes away. No serial port appears here."""
        monkeypatch.setattr(rp2, "RESTART_TIMEOUT_S", 0.5)
        drive, taken = make_drive(self.folder / "a"), self.folder / "taken"

        def boot_rom() -> None:
            file = drive / "firmware.uf2"
            while not file.exists() or file.stat().st_size < len(GOOD):
                time.sleep(0.01)
            drive.rename(taken)

        thread = threading.Thread(target=boot_rom)
        thread.start()
        result = self.flash().run()
        thread.join()
        assert result.size == 5120 and result.firmware is None and not result.verified
        assert (taken / "firmware.uf2").read_bytes() == GOOD


def test_boards_lists_boot_drives(tmp_path: Path) -> None:
    drive = make_drive(tmp_path / "RPI-RP2")
    result = run_cli("boards", "--json", folder=tmp_path, env={"MICROTRAIN_DRIVES": str(drive)})
    assert json.loads(result.stdout)["boot_drives"] == {str(drive): "RPI-RP2"}
    result = run_cli("boards", folder=tmp_path, env={"MICROTRAIN_DRIVES": str(drive)})
    assert f"{drive}\tboot drive of RPI-RP2" in result.stdout


class TestCommand:
    """What `microtrain firmware` says."""

    def test_list(self, tmp_path: Path) -> None:
        result = run_cli("firmware", "list", "--json", folder=tmp_path)
        chips = {board["board"]: board["chip"] for board in json.loads(result.stdout)}
        assert chips["RPI_PICO"] == "RP2040" and chips["RPI_PICO2"] == "RP2350"
        assert "VIRTUAL" not in chips

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("flash", "PICO"), "no board PICO to flash: there are "),
            (("build", "PICO"), "no board PICO to flash: there are "),
            (("flash", "RPI_PICO", "--erase", "--yes"), "--erase is for ESP32 boards"),
            (("flash", "RPI_PICO", "--port", "/dev/no-such-port"), "no serial port /dev/no-such-"),
            (("flash", "RPI_PICO", "--port", "virtual"), "virtual is no serial port"),
        ],
    )
    def test_errors(self, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
        image = tmp_path / "firmware.uf2"
        image.write_bytes(GOOD)
        if arguments[0] == "flash":
            arguments += ("--firmware", str(image))
        result = run_cli("firmware", *arguments, folder=tmp_path)
        assert result.returncode == 1
        assert message in result.stderr and len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize("command", ["list", "build", "flash"])
    def test_help_has_an_example(self, command: str, tmp_path: Path) -> None:
        result = run_cli("firmware", command, "--help", folder=tmp_path)
        assert f"Example: microtrain firmware {command}" in result.stdout
