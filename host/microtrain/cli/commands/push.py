"""`microtrain push`: a file to the board."""

from __future__ import annotations

import time
from pathlib import Path

import click

from microtrain.cli.common import json_option, open_port, port_option, print_json, progress_bar
from microtrain.errors import DeviceError
from microtrain.link.rom import MOUNT, Rom

IMAGE_SUFFIX = ".mtm"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
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
    with open_port(port) as device:
        wants_rom = remote is None and file.suffix == IMAGE_SUFFIX
        into_rom = wants_rom or (remote or "").startswith(f"{MOUNT}/")
        rom = Rom.of(device) if into_rom or clear else None
        if rom is None and (into_rom or clear) and not (wants_rom and not clear):
            raise DeviceError(f"{port}: this board has no ROMFS: push to /NAME")
        if rom is None and wants_rom:
            _say("this board has no ROMFS: the model goes to its file system, and loads to RAM")
        remote = remote or f"{MOUNT if rom else ''}/{file.name}"
        start = time.perf_counter()
        if rom and clear:
            rom.clear()
        with progress_bar(file.name) as progress:
            if rom and into_rom:
                path = remote.removeprefix(f"{MOUNT}/")
                sha256 = rom.put(path, file.read_bytes(), progress, _say)
            else:
                sha256 = device.push(file, remote, progress)
        seconds = time.perf_counter() - start
    size = file.stat().st_size
    if as_json:
        print_json({
            "file": str(file), "remote": remote, "bytes": size, "sha256": sha256,
            "seconds": round(seconds, 3), "in_place": bool(rom and into_rom),
        })
    else:
        where = ", read in place" if rom and into_rom else ""
        click.echo(f"{file} -> {remote}: {size} bytes in {seconds:.1f} s, SHA-256 {sha256[:12]}, "
                   f"verified on the board{where}")  # fmt: skip


def _say(text: str) -> None:
    click.echo(text, err=True)
