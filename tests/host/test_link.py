"""Boards over a serial port: the virtual board, driven as hardware is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import serial
from command_line import mpremote, run_cli
from random_bytes import every_byte

from microtrain.errors import DeviceError, DeviceTimeout, RemoteError
from microtrain.link import Device, VirtualBoard, board_process, open_device


def test_exec_returns_what_is_printed(device: Device) -> None:
    assert device.exec("print('one'); print('two')") == "one\ntwo\n"
    assert device.exec("x = 3") == ""
    assert device.eval("[x, 'a\\x04b', None]") == [3, "a\x04b", None]


def test_lines_arrive_while_the_code_runs(device: Device) -> None:
    arrived: list[tuple[str, float]] = []
    device.exec(
        "import time\nfor i in range(3):\n print('line', i)\n time.sleep(0.3)",
        lambda line: arrived.append((line, time.monotonic())),
    )
    assert [line for line, _ in arrived] == ["line 0", "line 1", "line 2"]
    assert arrived[2][1] - arrived[0][1] > 0.5


def test_long_code_arrives_whole(device: Device) -> None:
    # Longer than any window of the raw-paste protocol.
    lines = [f"x{i} = {i}" for i in range(5000)]
    assert device.exec("\n".join(lines) + "\nprint(x0 + x4999)") == "4999\n"


def test_device_exception_is_a_remote_error(device: Device) -> None:
    with pytest.raises(RemoteError, match=r"^ValueError: too big: 7$") as caught:
        device.exec("def f():\n  raise ValueError('too big: 7')\nprint('before')\nf()")
    assert caught.value.traceback.startswith("Traceback (most recent call last):")
    assert "in f" in caught.value.traceback
    with pytest.raises(RemoteError, match="SyntaxError"):
        device.exec("def f(")
    # The board goes on.
    assert device.eval("1 + 1") == 2


def test_eval_of_what_is_no_literal(device: Device) -> None:
    with pytest.raises(DeviceError, match="no literal"):
        device.eval("object()")


def test_silent_board_times_out_and_is_stopped(device: Device) -> None:
    with pytest.raises(DeviceTimeout, match=r"silent for 0\.5 s"):
        device.exec("while True: pass", timeout=0.5)
    assert device.eval("2 + 2") == 4


def test_ctrl_c_stops_a_busy_loop(device: Device) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        device.exec("n = 0\nprint('go')\nwhile True: n += 1", interrupt)
    assert time.monotonic() - start < 2
    # State is kept: a stop is not a reset.
    assert device.eval("n > 0")


def test_ctrl_c_stops_sleep_and_reading(device: Device) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    for wait in ("time.sleep(100)", "sys.stdin.read(1)"):
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            device.exec(f"import sys, time\nprint('go')\n{wait}", interrupt)
        assert time.monotonic() - start < 2
    assert device.eval("1") == 1


def test_ctrl_c_can_be_switched_off_and_is_data_then(device: Device) -> None:
    code = (
        "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('ready')\n"
        "data = sys.stdin.buffer.read(4)\nmicropython.kbd_intr(3)\nprint(list(data))"
    )
    lines: list[str] = []

    def answer(line: str) -> None:
        lines.append(line)
        if line == "ready":
            device._send(b"\x03\x04\r\n")

    device.exec(code, answer)
    assert lines == ["ready", "[3, 4, 13, 10]"]


def test_bursts_of_interrupts_do_not_end_the_board(board: VirtualBoard, device: Device) -> None:
    for burst in range(1, 30):
        with pytest.raises(RemoteError, match="KeyboardInterrupt"):
            device.exec(
                "print('go')\nwhile True: pass",
                lambda line, burst=burst: device._send(b"\x03" * burst),
            )
        assert device.eval("6 * 7") == 42
    assert board.is_running()


def test_twenty_soft_resets(board: VirtualBoard, device: Device) -> None:
    pid = board.pid
    (board.folder / "boot.py").write_text("booted = True\n")
    for i in range(20):
        device.exec(f"import gc\nx{i} = bytearray({3 << 20})")
        device.reset()
        assert device.eval("booted")
        assert device.eval(f"'x{i}' in globals()") is False
        assert device.eval("__import__('gc').mem_free()") > 3 << 20
    assert board.is_running() and board.pid == pid


def test_soft_reset_runs_finalisers_and_forgets_modules(
    board: VirtualBoard, device: Device
) -> None:
    device.exec("f = open('/half.txt', 'w')\nf.write('kept')\nimport microtrain")
    device.reset()
    assert (board.folder / "half.txt").read_text() == "kept"
    assert device.eval("'microtrain' in __import__('sys').modules") is False


def test_three_boards_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def use(index: int) -> None:
        try:
            with open_device(folder=tmp_path / str(index)) as device:
                data = every_byte(200_000, seed=index)
                for _ in range(3):
                    device.write("/data", data)
                    device.exec(f"me = {index}")
                    assert device.eval("me") == index
                    assert device.read("/data") == data
                    device.reset()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_nothing_is_leaked() -> None:
    fds = Path("/proc/self/fd")
    with open_device() as device:
        device.exec("pass")
    before = len(list(fds.iterdir()))
    for _ in range(5):
        board = VirtualBoard()
        with Device(board.port) as device:
            device.write("x", b"x")
        assert board.is_running()
        board.close()
        board.close()
        assert not board.is_running()
        assert not board.folder.exists()
    assert len(list(fds.iterdir())) == before


def test_board_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os, signal\nfrom microtrain.link import VirtualBoard\nboard = VirtualBoard()\n"
        "print(board.pid, board.folder, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid, folder = result.stdout.split()
    deadline = time.monotonic() + 5
    while _is_alive(int(pid)):
        assert time.monotonic() < deadline, f"board {pid} outlived its parent"
        time.sleep(0.02)
    Path(folder).rmdir()


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_folder_is_one_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_process, "LOCK_TIMEOUT_S", 0.2)
    with VirtualBoard(tmp_path) as board:
        with pytest.raises(DeviceError, match="MICROTRAIN_BOARD_FOLDER") as caught:
            VirtualBoard(tmp_path)
        assert f"process {os.getpid()} (" in str(caught.value)
        # Another folder is free, and so is this one as soon as its board has ended, however.
        VirtualBoard(tmp_path / "other").close()
        board.kill()
        VirtualBoard(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_board_waits_for_the_folder(tmp_path: Path) -> None:
    first = VirtualBoard(tmp_path)
    timer = threading.Timer(0.5, first.close)
    timer.start()
    with VirtualBoard(tmp_path) as second:
        assert not first.is_running() and second.is_running()
    timer.join()


def test_port_can_be_closed_and_opened_while_code_runs(board: VirtualBoard) -> None:
    # The cable is pulled: what is printed meanwhile is lost, the board goes on.
    first = Device(board.port)
    first._start("n = 0\nwhile n < 40_000:\n  n += 1\n  print(n, 'x' * 100)")
    time.sleep(0.05)
    first._serial.close()
    time.sleep(1.0)
    with Device(board.port, reset=False) as second:
        assert second.eval("n") == 40_000


def test_program_that_is_no_board(tmp_path: Path) -> None:
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(DeviceError, match="no such thing"):
        VirtualBoard(tmp_path, firmware=script)


def test_a_lost_port_says_how_the_board_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VirtualBoard() as board, Device(board.port, ending=board.ending) as device:
        device._start("while True: pass")
        board.kill()
        with pytest.raises(DeviceError, match=f"process {board.pid}, was killed by SIGKILL"):
            device._read_rest(None)
    # Switched off while it is opened, and on its own account.
    broken = tmp_path / "broken"
    broken.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "_, fd = os.openpty()\nprint(os.ttyname(fd), flush=True)\nos.read(_, 1)\n"
        "sys.exit('first\\nlast word')\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("MICROTRAIN_VIRTUAL", str(broken))
    with pytest.raises(DeviceError, match=r"ended with exit code 1: first \| last word$"):
        open_device()


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("qemu:z80", "no target qemu:z80"),
    ],
)
def test_ports_that_cannot_be_opened(port: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        open_device(port)


def test_board_has_what_training_needs(device: Device) -> None:
    assert device.eval("__import__('os').getcwd()") == "/"
    # Single precision floats, as on hardware.
    assert device.eval("1 / 3 == 0.33333334")
    device.exec("import microtrain, hashlib, binascii, json, struct, deflate")


def test_romfs_is_read_in_place(tmp_path: Path) -> None:
    content = tmp_path / "rom"
    content.mkdir()
    (content / "weights.bin").write_bytes(every_byte(50_000, seed=4))
    with VirtualBoard(tmp_path / "board", heap=1 << 20, rom=tmp_path / "rom.img") as board:
        mpremote(board.port, "romfs", "deploy", str(content))
        mpremote(board.port, "soft-reset")
        with Device(board.port) as device:
            device.exec("f = open('/rom/weights.bin', 'rb')\nm = memoryview(f)\nimport gc")
            assert device.eval("len(m)") == 50_000
            assert device.eval("m[-1]") == 255


class TestMpremote:
    """mpremote itself, as a person uses it with any board."""

    def test_exec_and_eval(self, board: VirtualBoard) -> None:
        assert mpremote(board.port, "exec", "print(6 * 7)") == "42\n"
        assert mpremote(board.port, "eval", "6 * 7") == "42\n"

    def test_copy_list_and_remove(self, board: VirtualBoard, tmp_path: Path) -> None:
        source, back = tmp_path / "a.bin", tmp_path / "b.bin"
        source.write_bytes(every_byte(20_000, seed=5))
        mpremote(board.port, "fs", "cp", str(source), ":")
        mpremote(board.port, "fs", "mkdir", ":/dir", "+", "fs", "cp", str(source), ":/dir/c.bin")
        mpremote(board.port, "fs", "cp", ":/dir/c.bin", str(back))
        assert back.read_bytes() == source.read_bytes()
        assert "a.bin" in mpremote(board.port, "fs", "ls")
        mpremote(board.port, "fs", "rm", ":a.bin")
        assert sorted(path.name for path in board.folder.iterdir()) == ["dir"]

    def test_soft_reset_and_run(self, board: VirtualBoard, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text("print('run', 'y' in globals())")
        mpremote(board.port, "exec", "y = 1")
        assert mpremote(board.port, "resume", "run", str(script)) == "run True\n"
        assert mpremote(board.port, "soft-reset", "run", str(script)) == "run False\n"

    def test_mount(self, board: VirtualBoard, tmp_path: Path) -> None:
        (tmp_path / "hello.py").write_text("print('hello from the host')")
        assert "hello from the host" in mpremote(
            board.port, "mount", str(tmp_path), "exec", "import hello"
        )

    def test_main_py_runs_after_a_soft_reset_and_ctrl_c_stops_it(
        self, board: VirtualBoard
    ) -> None:
        (board.folder / "main.py").write_text("n = 0\nwhile True:\n    n += 1\n")
        with Device(board.port) as device:
            device.exec("pass")
        # A soft reset in the friendly REPL runs main.py; opening the port stops it.
        with serial.Serial(board.port) as port:
            port.write(b"\x02\x04")
        time.sleep(0.3)
        with Device(board.port, reset=False) as device:
            assert device.eval("n") > 1000


class TestCommands:
    """The command line, over the virtual board."""

    def test_push_and_pull(self, tmp_path: Path) -> None:
        source, back = tmp_path / "a.bin", tmp_path / "b.bin"
        source.write_bytes(every_byte(10_000, seed=6))
        pushed = run_cli("push", str(source), "--json", folder=tmp_path / "board")
        assert pushed.returncode == 0 and '"bytes": 10000' in pushed.stdout
        pulled = run_cli("pull", "/a.bin", "-o", str(back), folder=tmp_path / "board")
        assert pulled.returncode == 0
        assert back.read_bytes() == source.read_bytes()
        # No bar where there is no terminal.
        assert pulled.stderr == ""

    def test_errors_are_one_line(self, tmp_path: Path) -> None:
        missing = run_cli("pull", "/nothing", folder=tmp_path)
        assert missing.returncode == 1
        assert missing.stderr.strip().splitlines() == [
            "Error: on the board, /nothing: OSError: [Errno 2] ENOENT"
        ]
        traced = run_cli("--debug", "pull", "/nothing", folder=tmp_path)
        assert traced.returncode == 1 and "Traceback" in traced.stderr
        assert run_cli("push", str(tmp_path / "no"), folder=tmp_path).returncode == 2

    def test_boards(self, tmp_path: Path) -> None:
        result = run_cli("boards", "--json", folder=tmp_path)
        assert result.returncode == 0 and '"virtual"' in result.stdout

    @pytest.mark.parametrize("command", ["boards", "push", "pull", "repl"])
    def test_help_has_an_example(self, command: str, tmp_path: Path) -> None:
        result = run_cli(command, "--help", folder=tmp_path)
        assert result.returncode == 0 and f"Example: microtrain {command}" in result.stdout
