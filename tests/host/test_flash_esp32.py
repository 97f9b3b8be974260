"""Flashing ESP32 chips: esptool, as a program, against a boot loader in software."""

from __future__ import annotations

import os
import pty
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import run_cli

from microtrain.errors import DeviceError
from microtrain.flash import esp32
from microtrain.flash.boards import flashable_boards
from microtrain.flash.esp32 import Esp32Flash

BOARDS = {board.mcu: board for board in flashable_boards() if board.is_esp32}
CHIP_IDS = {"esp32": 0, "esp32c3": 5, "esp32s3": 9}
START_TIMEOUT_S = 20


def image(mcu: str, size: int = 70_001) -> bytes:
    """What begins as a boot loader of the chip does."""
    header = b"\xe9\x03\x02\x20" + bytes(8) + CHIP_IDS[mcu].to_bytes(2, "little") + bytes(10)
    return header + random.Random(mcu).randbytes(size - len(header))


@contextmanager
def boot_loader(mcu: str, folder: Path) -> Iterator[str]:
    """A chip that waits for esptool; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    command = [Path(sys.executable).with_name("esp32-mock-bootloader"), "run", "--chip", mcu,
               "--port", str(number), "--timeout", "120"]  # fmt: skip
    with (folder / "boot_loader.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log,
            env=os.environ | {"ESP32_MOCK_BOOTLOADER_STATE_DIR": str(folder / "state")},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", number)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        yield f"socket://127.0.0.1:{number}"
    finally:
        process.terminate()
        process.wait()


def read_flash(port: str, mcu: str, offset: int, size: int, folder: Path) -> bytes:
    """What the chip's flash holds. The mock has no read-flash of the stub loader."""
    out = folder / "flash.bin"
    subprocess.run(
        [sys.executable, "-m", "esptool", "--no-stub", "--chip", mcu, "--port", port,
         "read-flash", hex(offset), hex(size), str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    return out.read_bytes()


def test_boards_say_where_the_image_begins() -> None:
    """Where the chip's ROM looks for the boot loader."""
    offsets = {board.name: board.flash_offset for board in BOARDS.values()}
    assert offsets == {"ESP32_GENERIC": 0x1000, "ESP32_GENERIC_S3": 0, "ESP32_GENERIC_C3": 0}


@pytest.mark.parametrize("mcu", ["esp32", "esp32s3", "esp32c3"])
def test_the_flash_holds_the_image(mcu: str, tmp_path: Path) -> None:
    board, data = BOARDS[mcu], image(mcu)
    (tmp_path / "firmware.bin").write_bytes(data)
    said: list[str] = []
    with boot_loader(mcu, tmp_path) as port:
        flash = Esp32Flash(board, port, tmp_path / "firmware.bin")
        assert "otherwise THEY ARE LOST" in flash.losses() and "NVS" in flash.losses()
        done = flash.run(said.append)
        assert (done.chip, done.offset, done.size) == (board.chip, board.flash_offset, len(data))
        start = board.flash_offset
        assert read_flash(port, mcu, start, len(data), tmp_path) == data
        # What lies before and after is as it was.
        if start:
            assert set(read_flash(port, mcu, 0, start, tmp_path)) == {0xFF}
        assert set(read_flash(port, mcu, start + 0x20000, 0x1000, tmp_path)) == {0xFF}
    assert said[-1] == "verifying"


def test_erase(tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(image("esp32"))
    (tmp_path / "files.bin").write_bytes(b"files" * 100)
    with boot_loader("esp32", tmp_path) as port:
        esptool = [sys.executable, "-m", "esptool", "--chip", "esp32", "--port", port]
        write = [*esptool, "write-flash", "0x100000", str(tmp_path / "files.bin")]
        subprocess.run(write, check=True, capture_output=True)
        for erase in (False, True):
            flash = Esp32Flash(BOARDS["esp32"], port, tmp_path / "firmware.bin", erase=erase)
            assert flash.losses().startswith("THE WHOLE FLASH IS ERASED") == erase
            flash.run()
            found = read_flash(port, "esp32", 0x100000, 500, tmp_path)
            assert found == (b"\xff" * 500 if erase else b"files" * 100)


def test_another_chip_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(image("esp32"))
    with boot_loader("esp32s3", tmp_path) as port:
        with pytest.raises(DeviceError) as caught:
            Esp32Flash(BOARDS["esp32"], port, tmp_path / "firmware.bin")
        assert str(caught.value) == (
            f"wrong board: {port} is an ESP32-S3, ESP32_GENERIC's firmware is for the ESP32; "
            "nothing was written"
        )
        assert set(read_flash(port, "esp32s3", 0x1000, 0x1000, tmp_path)) == {0xFF}


def test_a_flash_too_small(tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(image("esp32", (4 << 20) - 0xFFF))
    with (
        boot_loader("esp32", tmp_path) as port,
        pytest.raises(DeviceError, match="firmware ends at 4,194,305, this chip's flash has 4 MB"),
    ):
        Esp32Flash(BOARDS["esp32"], port, tmp_path / "firmware.bin")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no ESP32 image: it does not start with 0xe9"),
        (b"\x7fELF" + bytes(100), "no ESP32 image"),
        (image("esp32c3"), "wrong board: this image is for the ESP32-C3, not for the ESP32"),
        (b"\xe9" + b"\x77" * 100, r"another chip \(id 30583\), not for the ESP32"),
    ],
)
def test_images_that_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "firmware.bin").write_bytes(data)
    with pytest.raises(DeviceError, match=message):
        Esp32Flash(BOARDS["esp32"], "socket://127.0.0.1:1", tmp_path / "firmware.bin")


class TestPorts:
    """Each trouble with a port is its own error, and esptool's is passed on in one line."""

    @pytest.fixture(autouse=True)
    def image(self, tmp_path: Path) -> None:
        self.path = tmp_path / "firmware.bin"
        self.path.write_bytes(image("esp32"))

    def error(self, port: str) -> str:
        with pytest.raises(DeviceError) as caught:
            Esp32Flash(BOARDS["esp32"], port, self.path)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    def test_none(self) -> None:
        assert "no serial port /dev/no-such" in self.error("/dev/no-such")
        assert "the port is busy or doesn't exist" in self.error("socket://127.0.0.1:1")

    def test_nobody_answers(self) -> None:
        _, slave = pty.openpty()
        message = self.error(os.ttyname(slave))
        assert "esptool flash-id: Failed to connect" in message
        assert message.endswith("hold BOOT, press RESET, release BOOT, and try again")

    def test_that_vanishes_while_it_is_written(self, tmp_path: Path) -> None:
        self.path.write_bytes(image("esp32", 1 << 20))
        with boot_loader("esp32", tmp_path) as port:
            flash = Esp32Flash(BOARDS["esp32"], port, self.path)
        with pytest.raises(DeviceError, match="esptool write-flash: "):
            flash.run()

    def test_esptool_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(esp32, "ESPTOOL", "no_such_esptool")
        assert "no_such_esptool is missing: pip install 'microtrain[flash]'" in self.error(
            "socket://127.0.0.1:1"
        )


def test_command(tmp_path: Path) -> None:
    """Only what the command adds: it needs a port, and asks."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(image("esp32"))
    command = ("firmware", "flash", "ESP32_GENERIC", "--firmware", str(path))
    result = run_cli(*command, folder=tmp_path)
    assert result.returncode == 1 and "ESP32_GENERIC needs --port" in result.stderr
    with boot_loader("esp32", tmp_path) as port:
        result = run_cli(*command, "--port", port, folder=tmp_path)
        assert result.returncode == 1 and "nothing was written: --yes" in result.stderr
        assert set(read_flash(port, "esp32", 0x1000, 0x1000, tmp_path)) == {0xFF}
        result = run_cli(*command, "--port", port, "--yes", folder=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "70001 bytes written at 0x1000 and verified" in result.stdout
        assert read_flash(port, "esp32", 0x1000, 70_001, tmp_path) == path.read_bytes()
