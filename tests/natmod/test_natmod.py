"""The native module: installed by mpremote, on MicroPython without anything of ours, with
operators left out. tests/device runs on it too."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tiny_net
from command_line import mpremote
from graphs import Builder

from microtrain import image
from microtrain.fixed_point import Activation
from microtrain.graph import Kind
from microtrain.link import Device, VirtualBoard

REPO = Path(__file__).resolve().parents[2]
BUILD = REPO / "build"
DEVICE_TESTS = REPO / "tests/device"
STOCK = BUILD / "stock/micropython"
PACKAGE = BUILD / "natmod/x64"
# Bytes of the file, which are about those of the RAM it takes. Larger ones should be a decision.
BUDGET = {"x64": 78 << 10}  # 8 KB of it CRC tables
SAVED = 5000  # bytes that leaving out all the operators below must save at least


def run_stock(folder: Path, code: str) -> str:
    """Runs `code` in a folder, on MicroPython's unix port as it comes, of 64-bit floats."""
    result = subprocess.run(
        [STOCK, "-c", code],
        cwd=folder,
        env={"MICROPYPATH": f"{folder}:{folder}/lib"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def without_root(path: Path) -> str:
    """A script of tests/device with its files in the current folder."""
    return path.read_text().replace('"/', '"')


@pytest.fixture
def server() -> Iterator[str]:
    """The folder that `make natmod` has filled, served as a web site. Gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=PACKAGE)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_mip_install(server: str, tmp_path: Path) -> None:
    """mpremote installs it on a board; on firmware without anything of ours it trains to the bytes
    that firmware with the engine inside gives."""
    tiny_net.write_all(tmp_path)
    (tmp_path / "checks.py").write_text((DEVICE_TESTS / "checks.py").read_text())
    with VirtualBoard(tmp_path) as board:
        with Device(board.port) as device:
            expected = device.exec((DEVICE_TESTS / "fingerprint.py").read_text(), timeout=60)
        mpremote(board.port, "mip", "install", f"{server}/package.json")
    installed = {p.relative_to(tmp_path / "lib") for p in (tmp_path / "lib").rglob("*.mpy")}
    sources = {Path("microtrain") / p.name for p in (REPO / "firmware/microtrain").glob("*.py")}
    assert installed == {p.with_suffix(".mpy") for p in sources} | {Path("_microtrain.mpy")}

    assert "_microtrain" not in run_stock(tmp_path, "help('modules')").split()
    (tmp_path / "checks.py").write_text(without_root(DEVICE_TESTS / "checks.py"))
    assert run_stock(tmp_path, without_root(DEVICE_TESTS / "fingerprint.py")) == expected


def test_size() -> None:
    for arch, budget in BUDGET.items():
        assert (BUILD / "natmod" / arch / "_microtrain.mpy").stat().st_size <= budget


def pool(builder: Builder, kind: Kind) -> int:
    return builder.pool(0, kind, (2, 2), (2, 2))


OPERATORS: dict[str, Callable[[Builder], int]] = {
    "depthwise_conv2d": lambda b: b.depthwise(0),
    "add": lambda b: b.add(0, 0),
    "average_pool": lambda b: pool(b, Kind.AVERAGE_POOL),
    "max_pool": lambda b: pool(b, Kind.MAX_POOL),
    "mean": lambda b: b.mean(0),
    "pad": lambda b: b.pad(0, (1, 1, 1, 1)),
    "requantize": lambda b: b.requantize(0, Activation.RELU),
    "softmax": lambda b: b.softmax(b.reshape(0, 1, 1, 48)),
}


def test_left_out_operators(tmp_path: Path) -> None:
    """Each is refused by name, and takes no room; what is left still works."""
    switches = [f"-DMICROTRAIN_OP_{name.upper()}=0" for name in OPERATORS]
    variables = {
        "ARCH": "x64",
        "MPY_DIR": BUILD / "src/micropython",
        "PYTHON": sys.executable,
        "NATMOD_CFLAGS": " ".join(switches),
    }
    assignments = [f"{name}={value}" for name, value in variables.items()]
    subprocess.run(
        ["make", "-f", REPO / "usermod_c/natmod/Makefile", *assignments],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        check=True,
    )
    small, whole = (f / "_microtrain.mpy" for f in (tmp_path, PACKAGE))
    assert small.stat().st_size < whole.stat().st_size - SAVED

    for name, append in OPERATORS.items():
        builder = Builder(np.random.default_rng(1), 4, 4, 3)
        append(builder)
        image.write(builder.graph, tmp_path / "net.mtm")
        text = run_stock(
            tmp_path,
            "import _microtrain\n"
            "try: _microtrain.Model(open('net.mtm', 'rb').read())\n"
            "except ValueError as error: print(error)",
        )
        last = builder.graph.ops[-1].name
        assert text == (
            f"{last}: operator {name} was left out of this build: use one that has it\n"
        )

    builder = Builder(np.random.default_rng(1), 4, 4, 3)
    builder.linear(builder.conv(0, 4), 3)
    image.write(builder.graph, tmp_path / "net.mtm")
    text = run_stock(
        tmp_path,
        "import _microtrain\n"
        "net = _microtrain.Model(open('net.mtm', 'rb').read())\n"
        "plan = _microtrain.Plan(net, ((0, True, 3), (1, True, 64)), _microtrain.CROSS_ENTROPY)\n"
        "session = _microtrain.Session(plan)\n"
        "session.lr(0.01)\n"
        "losses = [session.step(bytes(range(48)), 1) for i in range(20)]\n"
        "print(losses[-1] < losses[0])",
    )
    assert text == "True\n"
