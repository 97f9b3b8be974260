"""Every trouble with a port or a missing tool is its own one-line error that says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import serial
import tiny_net
from command_line import COMMAND, run_cli

from microtrain.errors import DeviceError
from microtrain.link import Device, VirtualBoard, emulated, open_device
from microtrain.link.port_errors import why_lost, why_not_open


def test_a_busy_port_names_who_has_it(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path / "board") as board:
        holder = subprocess.Popen(
            [sys.executable, "-c", "import serial, sys\nport = serial.Serial(sys.argv[1], "
             "exclusive=True)\nprint('open', flush=True)\nsys.stdin.read()", board.port],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        result = run_cli("selftest", "--port", board.port, folder=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith(
            f"Error: {board.port} is busy: process {holder.pid} ({sys.executable} -c "
        )
        assert result.stderr.endswith("has it open: end it, or wait for it\n")
        holder.communicate()
        with Device(board.port) as device:
            assert device.eval("1 + 1") == 2


def test_a_port_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "ttyACM0"
    port.touch()

    def refuse(*arguments: object, **options: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(DeviceError, match=rf"no permission .*usermod -aG {port.group()} \$USER"):
        Device(str(port))


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("/dev/no-such-port", "no serial port /dev/no-such-port: `microtrain boards` lists"),
        ("no-such-port", "no serial port no-such-port: `microtrain boards` lists"),
        ("/dev/null", "/dev/null is no serial port"),
        ("socket://127.0.0.1:1", "Connection refused"),
        ("ftp://x", "ftp://x is no serial port"),
    ],
)
def test_what_is_no_port(port: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        open_device(port)


def test_a_port_with_no_micropython_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microtrain.link.transport.ENTER_TIMEOUTS_S", (0.2, 0.2))
    _, slave = os.openpty()
    with pytest.raises(DeviceError, match=r"no answer from MicroPython in 0\.4 s: is this the bo"):
        Device(os.ttyname(slave))


class TestVanishing:
    """The cable is pulled: the pty of a board in software goes away with it."""

    def test_while_code_runs(self) -> None:
        with VirtualBoard() as board, Device(board.port) as device:
            timer = threading.Timer(0.3, board.kill)
            timer.start()
            with pytest.raises(DeviceError, match=f"^{board.port} has vanished: the board"):
                device.exec("while True: pass")
            timer.join()
            # And so says every later use.
            with pytest.raises(DeviceError, match="has vanished"):
                device.eval("1")

    def test_while_a_file_is_sent(self) -> None:
        def pull(done: int, total: int) -> None:
            if done > total // 2:
                board.kill()

        with (
            VirtualBoard() as board,
            Device(board.port) as device,
            pytest.raises(DeviceError, match=f"^{board.port} has vanished"),
        ):
            device.write("/file", bytes(1 << 20), pull)

    def test_while_it_trains(self, tmp_path: Path) -> None:
        tiny_net.write_all(tmp_path)
        with VirtualBoard(tmp_path / "board") as board:
            command = subprocess.Popen(
                [*COMMAND, "train", "--port", board.port, "--model", str(tmp_path / "tiny.mtm"),
                 "--data", str(tmp_path / "train.mtd"), "--epochs", "1000000", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert command.stdout is not None
            assert '"step"' in command.stdout.readline()
            board.kill()
            start = time.monotonic()
            _, error = command.communicate(timeout=30)
        assert command.returncode == 1 and time.monotonic() - start < 10
        assert error == (
            f"Error: {board.port} has vanished: the board was unplugged, reset, or lost its "
            "power; plug it in and start again\n"
        )

    def test_that_is_still_there(self, tmp_path: Path) -> None:
        port = tmp_path / "port"
        port.touch()
        reason = why_lost(str(port), OSError("no data"))
        assert "another program uses the port (no data)" in reason

    def test_that_is_back_when_it_is_looked_at(self) -> None:
        with VirtualBoard() as board:
            assert "try again" in why_not_open(board.port)


class TestMissingTools:
    """What runs a board in software. (esptool: test_flash_esp32.py.)"""

    def test_node(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DeviceError, match="node is missing, which runs the RP2040 emulator"):
            open_device("emu:rp2040")

    def test_the_emulator(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(emulated, "LIBRARY", tmp_path / "rp2040js")
        with pytest.raises(DeviceError, match="emulator is not set up: run `make emulator`"):
            open_device("emu:rp2040")

    def test_the_virtual_board(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MICROTRAIN_VIRTUAL", "/nonexistent/micropython")
        with pytest.raises(DeviceError, match="run `make virtual`"):
            open_device("virtual")

    def test_make(self, tmp_path: Path) -> None:
        result = run_cli("firmware", "build", "RPI_PICO", folder=tmp_path,
                         env={"PATH": str(tmp_path)})  # fmt: skip
        assert result.returncode == 1 and "make is missing" in result.stderr
