"""Drive the public command line from the demos: start it, follow its JSON lines, keep them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
OUT = REPO / "build" / "demo"
MICROTRAIN = Path(sys.executable).parent / "microtrain"


class CommandError(RuntimeError):
    """A microtrain command failed; the message is its own."""


def lines(*arguments: object) -> Iterator[dict[str, Any]]:
    """Run `microtrain ARGUMENTS --json` and yield its JSON objects as they come.

    Raises CommandError when it exits with another code than 0.
    """
    if not MICROTRAIN.is_file():
        raise CommandError(f"{MICROTRAIN} is missing: run `make setup` first")
    command = [str(MICROTRAIN), *map(str, arguments), "--json"]
    with tempfile.TemporaryFile("w+") as errors:  # a pipe nobody reads would fill up
        with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=errors,
                              text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if line.strip():
                        yield json.loads(line)
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        message = errors.read().strip()
    if process.returncode != 0:
        raise CommandError(f"microtrain {arguments[0]} (exit code {process.returncode}): "
                           f"{message or 'no message'}")


def result(*arguments: object) -> dict[str, Any]:
    """Run `microtrain ARGUMENTS --json` and return its last JSON object ({} if it has none)."""
    objects = list(lines(*arguments))
    return objects[-1] if objects else {}
