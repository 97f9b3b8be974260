"""Products put together from 16-bit halves equal those of 64 bits."""

from __future__ import annotations

import ctypes as C
import subprocess
from pathlib import Path

import numpy as np
import pytest
from reference.forward import requantize, requantize_once

CORE = Path(__file__).resolve().parents[2] / "usermod_c" / "core"
EDGES = (0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF)
SOURCE = """
#include "fixed.h"
int32_t twice(int32_t acc, int32_t mult, int shift) { return mt_requantize(acc, mult, shift); }
int32_t once(int32_t acc, int32_t mult, int shift) { return mt_requantize_once(acc, mult, shift); }
int32_t step(int32_t x, int32_t m, int shift, uint32_t r) {
    return mt_stochastic_product(x, m, shift, r);
}
"""


@pytest.fixture(scope="module", params=[0, 1])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> C.CDLL:
    folder = tmp_path_factory.mktemp("fixed")
    (folder / "fixed.c").write_text(SOURCE)
    subprocess.run(
        ["cc", "-std=c99", "-O1", "-shared", "-fPIC", "-fsanitize=undefined",
         "-fno-sanitize-recover=all", f"-DMT_SHORT_MULTIPLY={request.param}", f"-I{CORE}", "-o",
         folder / "fixed.so", folder / "fixed.c", CORE / "fixed.c"],
        check=True,
    )  # fmt: skip
    return C.CDLL(str(folder / "fixed.so"))


def test_requantisation(library: C.CDLL) -> None:
    rng = np.random.default_rng(0)
    cases = [(s * a, m, shift) for a in (*EDGES, 0x80000000) for s in (-1, 1) for m in EDGES
             for shift in (-31, -30, -9, -3, -2, -1, 0) if -(1 << 31) <= s * a < 1 << 31]
    cases += [
        (int(rng.integers(-(1 << bits), 1 << bits)), int(rng.integers(0, 1 << 31)),
         int(rng.integers(-31, 1)))
        for bits in rng.integers(1, 32, 20000)
    ]  # fmt: skip
    for acc, mult, shift in cases:
        for name, expected in (("twice", requantize), ("once", requantize_once)):
            found = getattr(library, name)(C.c_int32(acc), C.c_int32(mult), C.c_int(shift))
            assert found == int(expected(np.int64(acc), mult, shift)), (name, acc, mult, shift)


def test_steps_of_weights(library: C.CDLL) -> None:
    rng = np.random.default_rng(1)
    signed = [s * a for a in (*EDGES, 0x80000000) for s in (-1, 1) if s * a < 1 << 31]
    cases = [(x, m, shift, r) for x in signed for m in signed if m > -(1 << 31)
             for shift in (32, 33, 47, 48, 61, 62) for r in (0, 1, 0x80000000, 0xFFFFFFFF)]
    cases += [
        (int(rng.integers(-(1 << bits), 1 << bits)), -int(rng.integers(1 << 30, 1 << 31)),
         int(rng.integers(32, 63)), int(rng.integers(0, 1 << 32)))
        for bits in rng.integers(1, 32, 20000)
    ]  # fmt: skip
    for x, m, shift, r in cases:
        found = library.step(C.c_int32(x), C.c_int32(m), C.c_int(shift), C.c_uint32(r))
        assert found == (x * m + (r << (shift - 32))) >> shift, (x, m, shift, r)
