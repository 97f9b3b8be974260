"""`microtrain provision`: a board's key, once."""

from __future__ import annotations

from pathlib import Path

import click

from microtrain import signature
from microtrain.cli.common import FILE, json_option, open_port, port_option, print_json
from microtrain.errors import SignatureError
from microtrain.link import Device

KEY_ID = """\
def _mt_key_id(path):
    import hashlib
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).digest()[:8].hex()
    except OSError:
        return None
"""


@click.command()
@click.option("--key", "key_file", type=FILE, required=True, help="`microtrain sign` makes it.")
@port_option
@json_option
def command(key_file: Path, port: str, as_json: bool) -> None:
    """Give the board its key: from now on it takes only model images signed with it.

    A board that has another key keeps it, and this fails. Whoever has the board's prompt can read,
    replace and remove the key.

    Example: microtrain provision --key team.key --port /dev/ttyACM0
    """
    key = signature.read_key(key_file)
    name = signature.key_id(key)
    with open_port(port) as device:
        found = board_key_id(device)
        if found not in (None, name):
            raise SignatureError(
                f"{port}: the board has another key, {found}: remove {signature.BOARD_KEY} at its "
                "prompt (`microtrain repl`) to give it this one"
            )
        if found is None:
            device.write(signature.BOARD_KEY, key)
    if as_json:
        print_json({"port": port, "key": name, "changed": found is None})
    else:
        state = "has it already" if found else "takes only images signed with it from now on"
        click.echo(f"{port}: key {name}: the board {state}")


def board_key_id(device: Device) -> str | None:
    """By which the board's key is named, None where it has none. Raises DeviceError."""
    device.exec(KEY_ID)
    found: str | None = device.eval(f"_mt_key_id({signature.BOARD_KEY!r})")
    return found
