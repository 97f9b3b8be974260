"""Every emulated board, as a person uses a board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_net
from command_line import mpremote, run_cli

from microtrain.errors import DeviceError
from microtrain.link import Device, open_device
from microtrain.link.board_process import BoardProcess
from microtrain.link.ports import EMULATED, start_board
from microtrain.link.qemu import MACHINES, QemuBoard

# Single precision, rounded to nearest even.
FLOATS = (
    "1 / 3 == 0.33333334", "16777216.0 + 1 == 16777216.0", "int(-7.9) == -7",
    "1e38 * 10 == float('inf')", "float(2**40 + 1) == 2.0**40", "3.0 * -0.5 == -1.5",
)  # fmt: skip


@pytest.fixture(params=EMULATED)
def port(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def board(port: str, tmp_path: Path) -> Iterator[BoardProcess]:
    with start_board(port, tmp_path / "board") as board:
        yield board


def test_repl_answers(board: BoardProcess) -> None:
    with Device(board.port) as device:
        for expression in FLOATS:
            assert device.eval(expression), expression
        assert device.eval("__import__('gc').mem_free()") > 225_000
        assert device.eval("__import__('os').getcwd()") == "/"
        device.exec("import microtrain, hashlib, binascii, json, struct, deflate, asyncio")
        start = time.monotonic()
        device.exec("import time\ntime.sleep(0.5)")
        assert 0.45 < time.monotonic() - start < 5
    assert mpremote(board.port, "eval", "6 * 7") == "42\n"


def test_mpremote_mounts_a_folder(board: BoardProcess, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print('hello from the host')")
    output = mpremote(board.port, "mount", str(tmp_path), "exec", "import hello")
    assert "hello from the host" in output


def test_boot_and_main_run_and_ctrl_c_stops_them(board: BoardProcess) -> None:
    with Device(board.port) as device:
        device.write("/boot.py", b"m = 6\n")
        device.write("/main.py", b"n = m\nwhile True:\n    n += 1\n")
        device._start("import machine\nmachine.reset()")
    time.sleep(2)
    with Device(board.port, reset=False) as device:
        assert device.eval("n") > 1000


def test_files_survive_resets_and_power_cuts(port: str, tmp_path: Path) -> None:
    data = os.urandom(20_000)
    with start_board(port, tmp_path) as board:
        with Device(board.port) as device:
            device.write("/kept.bin", data)
            device._start("import machine\nmachine.reset()")
        with Device(board.port) as device:
            assert device.read("/kept.bin") == data
        board.kill()
    with start_board(port, tmp_path) as board, Device(board.port) as device:
        assert device.read("/kept.bin") == data


def test_romfs_is_read_in_place(board: BoardProcess, tmp_path: Path) -> None:
    content = tmp_path / "rom"
    content.mkdir()
    data = os.urandom(20_000)
    (content / "weights.bin").write_bytes(data)
    mpremote(board.port, "romfs", "deploy", str(content))
    with Device(board.port) as device:
        assert device.eval("sum(memoryview(open('/rom/weights.bin', 'rb')))") == sum(data)
        device.exec("import gc\ngc.collect()\nbefore = gc.mem_free()")
        device.exec("held = memoryview(open('/rom/weights.bin', 'rb'))\ngc.collect()")
        assert device.eval("before - gc.mem_free()") < 1000


def test_board_ends_with_the_process_that_started_it(port: str) -> None:
    code = (
        "import os, signal, sys\nfrom microtrain.link.ports import start_board\n"
        f"board = start_board({port!r})\n"
        "print(board.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid = int(result.stdout)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, f"board {pid} outlived its parent"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the checkpoint that the virtual board trains."""
    return train("virtual", tmp_path_factory.mktemp("virtual"))


def train(port: str, folder: Path) -> str:
    tiny_net.write_all(folder)
    result = run_cli(
        "train", "--port", port, "--model", str(folder / "tiny.mtm"),
        "--data", str(folder / "train.npz"), "--val", str(folder / "val.npz"),
        "--scheme", "full", "--epochs", "2", "--lr", "0.02", "--json",
        folder=folder / "board", timeout=200,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    assert done["event"] == "done" and done["val_accuracy_after"] > 0.9
    return done["checkpoint_sha256"]


def test_the_command_line_trains(port: str, tmp_path: Path, trained: str) -> None:
    assert train(port, tmp_path) == trained


@pytest.mark.parametrize("name", MACHINES)
def test_instructions_are_counted(name: str, tmp_path: Path) -> None:
    """With -icount the same code takes the same number of instructions, on each start."""
    code = (
        "import time, hashlib\ndata = bytes(20000)\n"
        "def count():\n    start = time.ticks_cpu()\n    hashlib.sha256(data)\n"
        "    return time.ticks_diff(time.ticks_cpu(), start)\n"
        "count()\nprint(count(), count())"
    )
    counts = set()
    for start in range(2):
        with (
            QemuBoard(name, tmp_path / str(start), count_instructions=True) as board,
            Device(board.port) as device,
        ):
            counts |= {int(text) for text in device.exec(code).split()}
    # 313 blocks of 64 rounds of a dozen operations; the counter's step is 50 instructions at most.
    assert min(counts) > 313 * 64 * 10 and max(counts) - min(counts) <= 200, counts


def test_what_is_missing_is_said(
    port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if port in MACHINES:
        name = f"MICROTRAIN_{MACHINES[port].board}"
        build = f"run `make firmware BOARD={MACHINES[port].board}`"
        program = f"{port} needs {MACHINES[port].program}: install QEMU"
    else:
        name, build = "MICROTRAIN_RP2040", "run `make firmware BOARD=RPI_PICO`"
        program = "node is missing"
    with monkeypatch.context() as patch:
        patch.setenv(name, str(tmp_path / "missing"))
        with pytest.raises(DeviceError, match=build):
            open_device(port)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=program):
        open_device(port)
