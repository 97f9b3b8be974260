"""build/bench/faults.json: each part is measured by its own program, at its own time."""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "build/bench/faults.json"


def merge(values: dict[str, object], path: Path = PATH) -> None:
    """Put `values` into the file; what others wrote stays."""
    found = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, **values}, indent=1, sort_keys=True) + "\n")
