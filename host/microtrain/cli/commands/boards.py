"""`microtrain boards`: what is connected, what is supported."""

from __future__ import annotations

import click

from microtrain.cli.common import json_option, print_json
from microtrain.errors import DeviceError
from microtrain.link.ports import connected_ports
from microtrain.link.virtual import firmware_path


def _virtual_state(bits: int) -> str:
    try:
        return str(firmware_path(bits))
    except DeviceError as error:
        return f"not built: {error}"


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List connected boards and the boards in software.

    Example: microtrain boards --json
    """
    connected = connected_ports()
    virtual = {"virtual": _virtual_state(64), "virtual32": _virtual_state(32)}
    if as_json:
        print_json({"connected": [port.as_dict() for port in connected], "virtual": virtual})
        return
    if not connected:
        click.echo("no USB serial port is connected")
    for port in connected:
        click.echo(f"{port.port}\t{port.board or 'unknown board'}\t{port.usb}")
    for name, state in virtual.items():
        click.echo(f"{name}\t{state}")
