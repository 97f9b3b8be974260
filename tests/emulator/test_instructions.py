"""How many instructions the kernels take, on the processors that QEMU runs: the same each time,
and not more than they took. `python tests/bench/instructions.py` prints them all."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
# A tenth above what GCC 12 of Debian gave: instructions a MAC of the 1x1 convolution of 8x8x96 to
# 160 channels, forward, gradient of the input, gradient of the weights with their update.
MOST = {
    "cortex-m3": (3.7, 7.7, 13.0),
    "cortex-m33": (3.7, 7.7, 9.8),
    "rv32": (8.4, 9.6, 11.6),
    "xtensa": (9.4, 11.9, 16.1),
}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "instructions", BENCH / "instructions.py"
    )
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["instructions"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MOST)
def test_kernels_take_no_more_instructions(bench: ModuleType, name: str) -> None:
    (target,) = (target for target in bench.TARGETS if target.name == name)
    first, second = (list(bench.counts(target, bench.KERNELS[:1])) for _ in range(2))
    for (_, pass_name, count, macs), again, most in zip(first, second, MOST[name], strict=True):
        # As exact as the counter's step is, and the code that Python runs around it.
        assert abs(count - again[2]) <= 200, pass_name
        assert 1 < count / macs <= most, pass_name
