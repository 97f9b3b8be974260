"""The second core of the RP2040, which training shares with `_thread` and the flash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_net

from microtrain.link import Device
from microtrain.link.emulated import EmulatedRP2040

CHECKS = Path(__file__).resolve().parents[1] / "device" / "checks.py"
SPARE_BYTES = 256  # of the second core's stack: what a deeper operator may take
PREPARE = """
import time, _thread, microtrain as mt
from checks import raises, state
data = mt.Dataset("/train.mtd")
x = bytearray(data.size)
def trainer(cores, **named):
    return mt.Trainer(mt.Model("/tiny.mtm"), "full", 0.02, seed=3, cores=cores, **named)
def learn(trainer, samples=12):
    start = time.ticks_us()
    for i in range(samples):
        y = data.read(i, x)
        trainer.step(x, y)
    return time.ticks_diff(time.ticks_us(), start)
"""


def start(board: EmulatedRP2040, folder: Path) -> Device:
    device = Device(board.port)
    tiny_net.write_all(folder)
    for path in [*folder.glob("*.mt?"), CHECKS]:
        device.push(path, f"/{path.name}")
    device.exec(PREPARE)
    return device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with EmulatedRP2040(tmp_path / "board") as board, start(board, tmp_path) as device:
        yield device


def test_the_same_bytes_in_less_time(device: Device) -> None:
    device.exec("one, two = trainer(1), trainer(2)\ntimes = learn(one), learn(two)")
    assert device.eval("state(one) == state(two)")
    one, two = device.eval("times")
    assert two < 0.9 * one


def test_the_flash_is_written_and_the_clock_set_between_steps(device: Device) -> None:
    """Neither waits for core 1, whatever ran there."""
    device.exec(
        "import machine\n"
        "done = []\n"
        "_thread.start_new_thread(done.append, (1,))\n"
        "while not done: time.sleep_ms(1)\n"
        "time.sleep_ms(10)\n"
        "one, two = trainer(1), trainer(2)\n"
        "for _ in range(3):\n"
        "    learn(one, 2)\n"
        "    learn(two, 2)\n"
        "    two.model.save('/two.mtc')\n"
        "    machine.freq(machine.freq())\n"
        "model = mt.Model('/tiny.mtm')\n"
        "restored = model.restore('/two.mtc')\n",
        timeout=30,
    )
    assert device.eval("state(one) == state(two) == state(restored)")


def test_a_thread_has_the_core(device: Device) -> None:
    """A trainer is refused while there is one, and goes on alone where one is started later."""
    device.exec(
        "ends = False\n"
        "def spin():\n"
        "    while not ends: time.sleep_ms(1)\n"
        "one, two = trainer(1), trainer(2)\n"
        "learn(one), learn(two)\n"
        "_thread.start_new_thread(spin, ())\n"
        "raises(RuntimeError, 'core 1 is taken by _thread', trainer, 2)\n"
        "learn(one), learn(two)\n"
        "ends = True\n"
        "time.sleep_ms(50)\n"
        "learn(one), learn(two)\n"
        "again = trainer(2)\n",
        timeout=30,
    )
    assert device.eval("state(one) == state(two)")


def test_soft_resets(device: Device) -> None:
    for _ in range(3):
        device.exec("two = trainer(2)\nlearn(two, 1)")
        device.reset()
        device.exec(PREPARE)


def test_the_stack_has_room(device: Device) -> None:
    device.exec(
        "from microtrain.plan import Plan\n"
        "model = mt.Model('/tiny.mtm')\n"
        "plan = Plan(model, 'full', 'cross_entropy', cores=2)\n"
        "memory = bytearray(plan.info['total_ram_bytes'])\n"
        "learn(trainer(2, memory=memory))\n"
    )
    memory = device.eval("bytes(memory)")
    at = memory.find(b"\xa5" * 16)
    free = len(memory[at:]) - len(memory[at:].lstrip(b"\xa5"))
    assert SPARE_BYTES < free < 2048  # and it was used


def test_a_core_that_does_not_answer(tmp_path: Path) -> None:
    with EmulatedRP2040(tmp_path / "board", cores=1) as board, start(board, tmp_path) as device:
        begin = time.monotonic()
        device.exec("raises(RuntimeError, 'core 1 does not answer: use cores=1', trainer, 2)")
        assert time.monotonic() - begin < 1
        device.exec("one = trainer(1)\nlearn(one)")
        assert device.eval("one.steps") == 12
