"""The engine's tests once more, with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "build/engine/libmicrotrain-asan.so"
FILES = (
    "test_step.py",
    "test_depthwise.py",
    "test_plan.py",
    "test_stream.py",
    "test_hostile.py",
    "test_golden_step.py",
    "test_alignment.py",
    "test_augment.py",
    "test_optimizer.py",
    "test_gradient.py",
    "test_split.py",
    "test_checkpoint.py",
    "test_signature.py",
    "test_sha256.py",
    "test_frame.py",
)


def environment() -> dict[str, str]:
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return os.environ | {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "MICROTRAIN_ENGINE": str(LIBRARY),
    }


@pytest.mark.skipif("asan" in os.environ.get("MICROTRAIN_ENGINE", ""), reason="already inside")
@pytest.mark.parametrize("name", FILES)
def test_under_sanitizers(name: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(HERE.parent / "pytest.ini"),
        str(HERE / name),
    ]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_the_sanitizers_are_awake() -> None:
    """A write behind a block must stop the program, or the runs above prove nothing."""
    code = (
        "import ctypes, os; lib = ctypes.CDLL(os.environ['MICROTRAIN_ENGINE']);"
        "p = ctypes.CDLL(None).malloc; p.restype = ctypes.c_void_p;"
        "p.argtypes = [ctypes.c_size_t];"
        "d = p(16); d = ctypes.c_void_p(d); lib.mt_sha256(d, ctypes.c_size_t(8), d)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert result.returncode != 0 and "heap-buffer-overflow" in result.stderr
