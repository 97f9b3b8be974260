"""The scripts of this folder, run on every board in software, or on the boards that the
environment variable MICROTRAIN_TEST_PORT names. PORT+ARCH is that board with the engine as a
native module for ARCH, from build/natmod/ARCH, in place of the firmware's own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_net

from microtrain.errors import DeviceError, RemoteError
from microtrain.link import Device, open_device
from microtrain.link.ports import EMULATED, VIRTUAL

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "firmware" / "README.md"
NATIVE = (
    "virtual+x64", "qemu:cortex-m3+armv7m", "qemu:cortex-m33+armv7emsp", "qemu:rv32+rv32imc",
    "qemu:xtensa+xtensawin",
)  # fmt: skip
PORTS = os.environ.get("MICROTRAIN_TEST_PORT", "").split() or [
    *VIRTUAL, *EMULATED, *NATIVE,
    pytest.param("emu:rp2040+armv6m", marks=pytest.mark.slow),
]  # fmt: skip
SCRIPTS = sorted(
    path.stem for path in HERE.glob("*.py")
    if path.stem not in ("checks", "fingerprint", Path(__file__).stem)
)  # fmt: skip
FINGERPRINT = (HERE / "fingerprint.py").read_text()
HEAP = 256 << 10  # what is left on a Raspberry Pi Pico, on 64-bit objects twice as large
NATMOD = HERE.parents[1] / "build" / "natmod"
USE_NATIVE = b"import sys, native\nsys.modules['_microtrain'] = native\n"


@dataclass(frozen=True)
class Effort:
    """How much a board is asked to do: soft resets, epochs; and how long it may be silent."""

    resets: int
    epochs: int
    silence_s: float


@pytest.fixture(scope="module", params=PORTS)
def port(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def effort(port: str) -> Effort:
    # Chips are slower than the virtual boards, and their emulators again.
    return Effort(20, 32, 60) if port.startswith("virtual") else Effort(3, 2, 240)


def upload(device: Device, files: Path) -> None:
    """The network and data that the scripts use, made in the folder `files`."""
    tiny_net.write_all(files)
    for path in [*files.glob("*.mt?"), HERE / "checks.py"]:
        device.push(path, f"/{path.name}")


@pytest.fixture(scope="module")
def board(port: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    name, _, arch = port.partition("+")
    try:
        device = open_device(name, heap=HEAP)
    except DeviceError as error:
        # A board that is not built; on CI all are, and a skip is a failure.
        if port != "virtual" and "`make " in str(error):
            pytest.skip(str(error))
        raise
    with device:
        upload(device, tmp_path_factory.mktemp("files"))
        if arch:
            device.push(NATMOD / arch / "_microtrain.mpy", "/native.mpy")
            device.write("/boot.py", USE_NATIVE)
            device.reset()
            assert device.eval("__import__('_microtrain').__file__") == "native.mpy"
        yield device


def run(device: Device, code: str, effort: Effort) -> str:
    device.reset()
    try:
        return device.exec(code, timeout=effort.silence_s)
    except RemoteError as error:
        pytest.fail(f"on the board:\n{error.traceback}")


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(board: Device, effort: Effort, script: str) -> None:
    output = run(board, (HERE / f"{script}.py").read_text(), effort)
    assert output.splitlines()[-1] == "done"


@pytest.fixture(scope="module")
def fingerprint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What fingerprint.py prints on a virtual board."""
    with open_device("virtual") as device:
        upload(device, tmp_path_factory.mktemp("fingerprint"))
        return device.exec(FINGERPRINT)


def test_every_start_on_every_board_gives_the_same_bytes(
    board: Device, effort: Effort, fingerprint: str
) -> None:
    """Model, data, training loop and checkpoint, all through the public Python classes."""
    assert re.fullmatch(r"([0-9a-f]{64}\n){2}", fingerprint)
    for _ in range(effort.resets):
        assert run(board, FINGERPRINT, effort) == fingerprint


def test_ctrl_c_stops_between_two_samples(board: Device, effort: Effort) -> None:
    """What an interrupted fit leaves is what that many single steps give, byte for byte."""
    board.reset()
    board.exec(
        "import microtrain as mt\nfrom checks import state\n"
        "from microtrain.dataset import order\n"
        "data = mt.Dataset('/train.mtd')\n"
        "trainer = mt.Trainer(mt.Model('/tiny.mtm'), 'full', 0.01, seed=2)"
    )

    def interrupt(line: str) -> None:
        if line == str(effort.epochs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.exec(
            "trainer.fit(data, 100000, on_epoch=lambda r: print(r['epoch']))", interrupt
        )
    steps = board.eval("trainer.steps")
    assert steps >= effort.epochs * 64
    board.exec(
        "other = mt.Trainer(mt.Model('/tiny.mtm'), 'full', 0.01, seed=2)\n"
        "x = bytearray(data.size)\n"
        "for i in range(trainer.steps):\n"
        "    if i % 64 == 0: o = order(64, 2 + i // 64 + 1)\n"
        "    y = data.read(o[i % 64], x)\n"
        "    other.step(x, y)\n",
        timeout=effort.silence_s,
    )
    assert board.eval("state(other) == state(trainer)")
    # The trainer goes on.
    board.exec("trainer.fit(data, 1, on_epoch=lambda r: None)")
    assert board.eval("trainer.steps") == steps + 64


def test_readme_runs_as_it_stands(board: Device, effort: Effort) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    renamed = "\n".join(blocks).replace("net.mtm", "tiny.mtm").replace("gestures", "train")
    run(board, renamed, effort)
