"""`microtrain pull`: a file from the board."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath

import click

from microtrain.cli.common import (
    OUTPUT,
    json_option,
    open_port,
    port_option,
    print_json,
    progress_bar,
)


@click.command()
@click.argument("file")
@click.option(
    "-o", "--output", type=OUTPUT,
    help="Where to put it (default: the file's name, here).",
)
@port_option
@json_option
def command(file: str, output: Path | None, port: str, as_json: bool) -> None:
    """Copy FILE from the board and verify it by SHA-256.

    Example: microtrain pull flowers.mtc -o build/flowers.mtc --port /dev/ttyACM0
    """
    output = output or Path(PurePosixPath(file).name)
    with open_port(port) as device, progress_bar(file) as progress:
        start = time.perf_counter()
        sha256 = device.pull(file, output, progress)
        seconds = time.perf_counter() - start
    size = output.stat().st_size
    if as_json:
        print_json({
            "file": file, "output": str(output), "bytes": size, "sha256": sha256,
            "seconds": round(seconds, 3),
        })
    else:
        click.echo(f"{file} -> {output}: {size} bytes in {seconds:.1f} s, SHA-256 {sha256[:12]}")
