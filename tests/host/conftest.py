"""Tests of the host package share helpers with each other, beside those of tests/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
