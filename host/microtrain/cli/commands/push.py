"""`microtrain push`: a file to the board."""

from __future__ import annotations

import time
from pathlib import Path

import click

from microtrain.cli.common import json_option, open_port, port_option, print_json, progress_bar


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "remote", help="Name on the board (default: /NAME of the file).")
@port_option
@json_option
def command(file: Path, remote: str | None, port: str, as_json: bool) -> None:
    """Copy FILE to the board and verify it there by SHA-256.

    Example: microtrain push model.mtm --port /dev/ttyACM0
    """
    remote = remote or f"/{file.name}"
    with open_port(port) as device, progress_bar(file.name) as progress:
        start = time.perf_counter()
        sha256 = device.push(file, remote, progress)
        seconds = time.perf_counter() - start
    size = file.stat().st_size
    if as_json:
        print_json({
            "file": str(file), "remote": remote, "bytes": size, "sha256": sha256,
            "seconds": round(seconds, 3),
        })
    else:
        click.echo(f"{file} -> {remote}: {size} bytes in {seconds:.1f} s, SHA-256 {sha256[:12]}")
