"""The command lines `microtrain` and `mpremote`, as programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-c", "from microtrain.cli import main; main()"]


def run_cli(
    *arguments: str, folder: Path, env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run it with `folder` as the board's; env: more environment variables."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"MICROTRAIN_BOARD_FOLDER": str(folder)} | (env or {}),
    )


def mpremote(port: str, *arguments: str) -> str:
    """What mpremote, connected to `port`, prints. It must succeed."""
    command = [sys.executable, "-m", "mpremote", "connect", port, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
