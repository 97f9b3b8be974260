"""Tests of the C engine: bounded property tests that repeat exactly."""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# The sanitizer build is several times slower.
slow = "asan" in os.environ.get("MICROTRAIN_ENGINE", "")
settings.register_profile(
    "engine", max_examples=60 if slow else 250, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.load_profile("engine")
