"""`microtrain repl`: type at the board."""

from __future__ import annotations

import subprocess
import sys

import click

from microtrain.cli.common import board_folder, port_option
from microtrain.errors import DeviceError
from microtrain.link.ports import EMULATED, VIRTUAL, start_board


def _run(port: str) -> None:
    # mpremote's terminal, as a program: it takes over the keyboard.
    result = subprocess.run([sys.executable, "-m", "mpremote", "connect", port, "repl"])
    if result.returncode != 0:
        raise DeviceError(f"{port}: mpremote ended with exit code {result.returncode}")


@click.command()
@port_option
def command(port: str) -> None:
    """Open the board's Python prompt; Ctrl-] leaves it.

    Example: microtrain repl --port /dev/ttyACM0
    """
    if port in VIRTUAL or port in EMULATED:
        with start_board(port, board_folder(port)) as board:
            _run(board.port)
    else:
        _run(port)
