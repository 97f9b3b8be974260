"""How fast files travel: over the link, raw over the same line, by `mpremote cp`, and over the
link through a line with faults, all in one run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from command_line import mpremote
from lines import faulty

from microtrain.link import Device
from microtrain.link.ports import start_board

# The port is back at once: time without a line is not the link's.
FAULTS = {"drop": 0.01, "damage": 0.01, "repeat": 0.005, "away": 0.0}
DISCONNECTIONS = 5
MPREMOTE_BYTES = 1 << 20  # more would take it minutes
READY = b"\x06"
# Reads what the line gives into a buffer, as fast as MicroPython can.
RAW_UP = """
import micropython, sys
def _up(left, block):
    view = memoryview(bytearray(block))
    read, write = sys.stdin.buffer.readinto, sys.stdout.buffer.write
    micropython.kbd_intr(-1)
    try:
        write(b"\\x06")
        while left:
            n = min(left, block)
            read(view[:n])
            left -= n
        write(b"\\x06")
    finally:
        micropython.kbd_intr(3)
"""
RAW_DOWN = """
import sys
def _down(left, block):
    data, write = b"u" * block, sys.stdout.buffer.write
    while left:
        n = min(left, block)
        write(data[:n] if n < block else data)
        left -= n
"""


@dataclass
class Rates:
    """Bytes a second, the median of some tries each, to the board and from it; that of mpremote
    without the time that starting it takes. mismatches: files that did not arrive as they were
    sent."""

    up: dict[str, float] = field(default_factory=dict)
    down: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    mismatches: int = 0


def measure(port: str, folder: Path, size: int, tries: int, *, faults: bool = True) -> Rates:
    """Files of `size` bytes to and from the board in software that `port` names."""
    rates = Rates()
    data = random.Random(size).randbytes(size)
    samples: dict[tuple[str, str], list[float]] = {}

    def take(name: str, direction: str, do: Callable[[], object], size: int = size) -> object:
        start = time.perf_counter()
        result = do()
        samples.setdefault((name, direction), []).append(size / (time.perf_counter() - start))
        return result

    def link(name: str, device: Device) -> None:
        assert device.session
        device.write("/empty.bin", b"")
        take(name, "up", lambda: device.write("/link.bin", data))
        found = take(name, "down", lambda: device.read("/link.bin"))
        rates.bytes += 2 * size
        rates.mismatches += found != data

    with start_board(port, folder / "board") as board:
        block = 8192 if port.startswith("virtual") else 1024
        for number in range(tries):
            with Device(board.port) as device:
                take("raw", "up", lambda: _raw_up(device, data, block))
            with Device(board.port) as device:
                take("raw", "down", lambda: _raw_down(device, size, block))
            with Device(board.port) as device:
                link("link", device)
            if port.startswith("virtual") and faults:
                for name, extra in (
                    ("proxy", {}),
                    ("proxy, faults", FAULTS | {
                        "disconnections": DISCONNECTIONS,
                        "disconnect_every": size // (DISCONNECTIONS + 1), "seed": number + 1,
                    }),
                ):  # fmt: skip
                    counts: dict[str, int] = {}
                    with (
                        faulty(board.port, folder / "port", counts, **extra) as faulty_port,
                        Device(faulty_port) as device,
                    ):
                        link(name, device)
                    assert not extra or counts["disconnected"] == DISCONNECTIONS
        slow = min(size, MPREMOTE_BYTES)
        source, back = folder / "data.bin", folder / "back.bin"
        source.write_bytes(data[:slow])
        start = time.perf_counter()
        mpremote(board.port, "exec", "pass")
        started = time.perf_counter() - start
        for direction, arguments in (
            ("up", (str(source), ":/cp.bin")), ("down", (":/cp.bin", str(back))),
        ):  # fmt: skip
            start = time.perf_counter()
            mpremote(board.port, "cp", *arguments)
            seconds = time.perf_counter() - start - started
            samples["mpremote cp", direction] = [slow / seconds]
        assert back.read_bytes() == data[:slow]
    for (name, direction), found in samples.items():
        getattr(rates, direction)[name] = sorted(found)[len(found) // 2]
    return rates


def _raw_up(device: Device, data: bytes, block: int) -> None:
    device.exec(RAW_UP)
    device._start(f"_up({len(data)}, {block})")
    assert device._serial.read(1) == READY
    for at in range(0, len(data), 1 << 16):
        device._send(data[at : at + (1 << 16)])
    device._serial.answer_timeout = 120
    assert device._serial.read(1) == READY
    device._read_rest(10)


def _raw_down(device: Device, size: int, block: int) -> None:
    device.exec(RAW_DOWN)
    device._start(f"_down({size}, {block})")
    left = size
    while left > 0:
        data = device._serial.read_some(10)
        device._serial.unread(data[left:])
        left -= len(data[:left])
    device._read_rest(10)
