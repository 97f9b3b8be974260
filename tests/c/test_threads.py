"""Both halves of an operator in two threads, under ThreadSanitizer: neither touches what the other
one writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "build/engine/libmicrotrain-tsan.so"
RACE = """
import sys, threading
sys.path.insert(0, {tests!r})
import engine as E
import numpy as np
from graphs import Builder
from microtrain import image
b = Builder(np.random.default_rng(1), 24, 24, 8)
b.linear(b.conv(b.conv(0, 16, (3, 3), (1, 1), (1, 1)), 16), 4)
session = E.Session(E.Plan(E.Model(image.to_bytes(b.graph)), loss=E.CROSS_ENTROPY, cores=2))
def first_twice(half, first, second):
    thread = threading.Thread(target=half, args=(first,))
    thread.start()
    half(first)
    thread.join()
    half(second)
session.set_split(first_twice)
for _ in range(3):
    session.forward(np.zeros((24, 24, 8), np.int8))
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = os.environ | {
        "LD_PRELOAD": runtime, "TSAN_OPTIONS": "exitcode=66", "MICROTRAIN_ENGINE": str(LIBRARY),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )


@pytest.mark.skipif("tsan" in os.environ.get("MICROTRAIN_ENGINE", ""), reason="already inside")
def test_no_races() -> None:
    command = ("-m", "pytest", "-c", str(HERE.parent / "pytest.ini"), str(HERE / "test_split.py"))
    result = run(*command)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert "data race" not in result.stderr + result.stdout


def test_the_sanitizer_is_awake() -> None:
    """Two threads that write the same bytes are found, or the run above proves nothing."""
    result = run("-c", RACE.format(tests=str(HERE.parent)))
    assert result.returncode == 66 and "data race" in result.stderr, result.stderr[-2000:]
