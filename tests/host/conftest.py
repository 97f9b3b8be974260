"""Tests of the host package import from tests/ (shared, reference, engine)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
