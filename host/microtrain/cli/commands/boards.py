"""`microtrain boards`: what is connected, what is supported."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from microtrain.cli.common import json_option, print_json
from microtrain.errors import DeviceError
from microtrain.flash.boot_drive import find_drives
from microtrain.link.emulated import rp2040_firmware_path
from microtrain.link.ports import connected_ports
from microtrain.link.qemu import MACHINES, qemu_firmware_path
from microtrain.link.virtual import firmware_path


def _state(find: Callable[[], Path]) -> str:
    try:
        return str(find())
    except DeviceError as error:
        return f"not built: {error}"


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List connected boards and the boards in software.

    Example: microtrain boards --json
    """
    connected = connected_ports()
    drives = find_drives()
    virtual = {
        "virtual": _state(lambda: firmware_path(64)),
        "virtual32": _state(lambda: firmware_path(32)),
        "emu:rp2040": _state(rp2040_firmware_path),
        **{port: _state(partial(qemu_firmware_path, port)) for port in MACHINES},
    }
    if as_json:
        print_json({
            "connected": [port.as_dict() for port in connected],
            "boot_drives": {str(drive.path): drive.board_id for drive in drives},
            "virtual": virtual,
        })
        return
    for drive in drives:
        click.echo(f"{drive.path}\tboot drive of {drive.board_id}\tflash it: microtrain firmware")
    if not connected:
        click.echo("no USB serial port is connected")
    for port in connected:
        click.echo(f"{port.port}\t{port.board or 'unknown board'}\t{port.usb}")
    for name, state in virtual.items():
        click.echo(f"{name}\t{state}")
