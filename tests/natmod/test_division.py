"""The division that the native module for ARMv6-M brings, against the machine's own."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "usermod_c/natmod/armv6m/division.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    output = tmp_path_factory.mktemp("division") / "division.so"
    subprocess.run(["gcc", "-O1", "-fPIC", "-shared", "-o", output, SOURCE], check=True)
    library = ctypes.CDLL(str(output))
    for name, kind in (("ddiv", ctypes.c_double), ("fdiv", ctypes.c_float)):
        function = getattr(library, f"__aeabi_{name}")
        function.restype, function.argtypes = kind, (kind, kind)
    return library


@pytest.mark.parametrize(("name", "dtype", "exponent"), [("ddiv", "f8", 300), ("fdiv", "f4", 15)])
def test_division(library: ctypes.CDLL, name: str, dtype: str, exponent: int) -> None:
    """Bit for bit over the whole range, halves and exact quotients too."""
    rng = np.random.default_rng(5)
    a, b = (
        np.concatenate([
            rng.uniform(-2, 2, 30_000) * 2.0 ** rng.integers(-exponent, exponent, 30_000),
            rng.integers(-300, 300, 10_000).astype(float) * 2 + 1,
        ]).astype(dtype)
        for _ in range(2)
    )  # fmt: skip
    function = getattr(library, f"__aeabi_{name}")
    quotients = np.array([function(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    assert (quotients.astype(dtype).view(f"u{dtype[1]}") == (a / b).view(f"u{dtype[1]}")).all()


def test_zero_and_limits(library: ctypes.CDLL) -> None:
    divide = library.__aeabi_ddiv
    assert divide(0.0, 3.0) == 0.0 and divide(-0.0, 3.0) == 0.0
    assert divide(1.0, 0.0) == float("inf") and divide(-1.0, 0.0) == -float("inf")
    assert divide(1e300, 1e-300) == float("inf") and divide(1e-300, 1e300) == 0.0
