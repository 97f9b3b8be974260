"""`microtrain push`: a file to the board."""

from __future__ import annotations

import time
from pathlib import Path

import click

from microtrain.cli.common import (
    FILE,
    json_option,
    open_port,
    port_option,
    print_json,
    progress_bar,
)
from microtrain.errors import DeviceError
from microtrain.link.rom import MOUNT, Rom

IMAGE_SUFFIX = ".mtm"


@click.command()
@click.argument("file", type=FILE)
@click.option("--to", "remote", help="Name on the board: /rom/NAME is in ROMFS, all others in its "
              "file system  [default: /rom/NAME for a model image (.mtm) where the board has a "
              "ROMFS, else /NAME]")
@click.option("--clear", is_flag=True, help="Empty the ROMFS first: every file in it is lost.")
@port_option
@json_option
def command(file: Path, remote: str | None, clear: bool, port: str, as_json: bool) -> None:
    """Copy FILE to the board and verify it there by SHA-256.

    A model image goes into ROMFS, where the engine reads it in place; what is in ROMFS stays.

    Example: microtrain push model.mtm --port /dev/ttyACM0
    """
    in_flash = remote.startswith(f"{MOUNT}/") if remote else file.suffix == IMAGE_SUFFIX
    if clear and not in_flash:
        raise click.UsageError("--clear is for files that go into ROMFS")
    with open_port(port) as device:
        rom = Rom.of(device) if in_flash else None
        if in_flash and rom is None:
            if remote or clear:
                raise DeviceError(f"{port}: this board has no ROMFS: push to /NAME")
            _say("this board has no ROMFS: the model goes to its file system, and loads to RAM")
        remote = remote or f"{MOUNT if rom else ''}/{file.name}"
        start = time.perf_counter()
        with progress_bar(file.name) as progress:
            if rom:
                if clear:
                    rom.clear()
                path = remote.removeprefix(f"{MOUNT}/")
                sha256 = rom.put(path, file.read_bytes(), progress, _say)
            else:
                sha256 = device.push(file, remote, progress)
        seconds = time.perf_counter() - start
    size = file.stat().st_size
    if as_json:
        print_json({
            "file": str(file), "remote": remote, "bytes": size, "sha256": sha256,
            "seconds": round(seconds, 3), "in_place": rom is not None,
        })
    else:
        where = ", read in place" if rom else ""
        click.echo(f"{file} -> {remote}: {size} bytes in {seconds:.1f} s, SHA-256 {sha256[:12]}, "
                   f"verified on the board{where}")  # fmt: skip


def _say(text: str) -> None:
    click.echo(text, err=True)
