"""`microtrain firmware`: building it, and putting it on boards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click

from microtrain.cli.common import FILE, json_option, print_json
from microtrain.errors import DeviceError
from microtrain.flash.boards import find_board, flashable_boards
from microtrain.flash.esp32 import BAUD, Esp32Flash
from microtrain.flash.rp2 import Rp2Flash
from microtrain.link.board_process import REPO


@click.group()
def command() -> None:
    """Build firmware, and put it on boards.

    Example: microtrain firmware flash RPI_PICO
    """


@command.command("list")
@json_option
def list_boards(as_json: bool) -> None:
    """List the boards there is firmware for, and where the built images are.

    Example: microtrain firmware list
    """
    boards = flashable_boards()
    if as_json:
        print_json([
            {"board": board.name, "chip": board.chip, "product": board.product,
             "image": str(board.image) if board.image.is_file() else None}
            for board in boards
        ])  # fmt: skip
        return
    for board in boards:
        image = board.image if board.image.is_file() else "not built"
        click.echo(f"{board.name}\t{board.product} ({board.chip})\t{image}")


@command.command()
@click.argument("board")
def build(board: str) -> None:
    """Build the firmware of BOARD, as `make firmware BOARD=...` does.

    Example: microtrain firmware build RPI_PICO
    """
    name = find_board(board).name
    if shutil.which("make") is None:
        raise DeviceError("make is missing, which builds firmware: install it")
    make = ["make", "--no-print-directory", "firmware", f"BOARD={name}"]
    result = subprocess.run(make, cwd=REPO)
    if result.returncode != 0:
        raise DeviceError(f"{' '.join(make)} ended with exit code {result.returncode}")


@command.command()
@click.argument("board")
@click.option("--port", help="Serial port of the board: needed for ESP32; an RP2040 or RP2350 "
              "that runs MicroPython is asked to go into boot mode.")
@click.option("--drive", type=click.Path(path_type=Path), help="Boot drive of an RP2040 or RP2350 "
              "[default: the one that is mounted]")
@click.option("--firmware", type=FILE,
              help="Image to flash [default: what `firmware build` made]")
@click.option("--erase", is_flag=True, help="ESP32: erase the whole flash first.")
@click.option("--baud", type=int, default=BAUD, show_default=True, help="ESP32: speed of writing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def flash(
    board: str, port: str | None, drive: Path | None, firmware: Path | None, erase: bool,
    baud: int, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Put firmware on BOARD and verify it. Says what is lost, and asks, before it writes.

    Example: microtrain firmware flash RPI_PICO --port /dev/ttyACM0
    """
    target = find_board(board)
    if target.is_esp32:
        if port is None:
            raise DeviceError(f"{board} needs --port: `microtrain boards` lists what is connected")
        chip = Esp32Flash(target, port, firmware, erase=erase, baud=baud)
        _confirm(chip.losses(), yes)
        done = chip.run(_say)
        report = {"board": board, "image": str(done.image), "chip": done.chip,
                  "offset": done.offset, "bytes": done.size, "verified": True}  # fmt: skip
        text = f"{board}: {done.size} bytes written at {done.offset:#x} and verified"
    else:
        if erase:
            raise DeviceError(f"--erase is for ESP32 boards, {board} has an {target.chip}")
        pico = Rp2Flash(target, firmware, drive, port)
        _confirm(pico.losses(), yes)
        result = pico.run(_say)
        report = {"board": board, "image": str(result.image), "drive": str(result.drive),
                  "bytes": result.size, "verified": result.verified,
                  "firmware": result.firmware and result.firmware.as_dict()}  # fmt: skip
        text = f"{board}: {result.size} bytes written"
        text += (
            ", read back and verified" if result.verified else
            "; the board restarted, but no serial port of it appeared: not verified"
        )  # fmt: skip
    if as_json:
        print_json(report)
    else:
        click.echo(f"{text}\nnext: microtrain selftest --port {port or 'PORT'}")


def _confirm(losses: str, yes: bool) -> None:
    _say(losses)
    if yes:
        return
    if not sys.stdin.isatty():
        raise DeviceError("nothing was written: --yes goes on without asking")
    click.confirm("Go on?", abort=True, err=True)


def _say(text: str) -> None:
    click.echo(text, err=True)
