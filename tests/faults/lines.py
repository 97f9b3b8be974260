"""Boards behind lines with faults."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROXY = Path(__file__).with_name("proxy.py")


@contextlib.contextmanager
def faulty(board: str, link: Path, counts: dict[str, int], **faults: Any) -> Iterator[str]:
    """The port of a proxy before the port `board`; faults: proxy.Faults. Fills `counts`."""
    process = subprocess.Popen(
        [sys.executable, str(PROXY), board, str(link), json.dumps(faults)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield str(link)
    finally:
        process.stdin.close()
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait() == 0
        counts.update(json.loads(rest))
