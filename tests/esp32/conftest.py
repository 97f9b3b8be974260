"""The boards' firmware, built once for all tests."""

from __future__ import annotations

import pytest
from esp32.standin import Builder


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("esp32"))
