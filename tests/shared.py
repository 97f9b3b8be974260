"""The read-only reference folder beside the repository, which tests may use but not rely on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MICROTRAIN_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared(relative: str) -> Path:
    """A file or folder of the reference folder.

    Where it is missing the test is skipped, saying so; on CI that is a failure (conftest.py).
    """
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"needs {relative} of the reference folder {ROOT} (set MICROTRAIN_SHARED)")
    return path
