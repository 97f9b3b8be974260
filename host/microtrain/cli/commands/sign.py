"""`microtrain sign`: for boards that take only signed images."""

from __future__ import annotations

from pathlib import Path

import click

from microtrain import image, signature
from microtrain.cli.common import FILE, OUTPUT, json_option, print_json
from microtrain.files import write_atomically


@click.command()
@click.argument("file", type=FILE)
@click.option("--key", "key_file", type=OUTPUT, required=True, help="The key's file.")
@click.option("--new-key", is_flag=True, help="Make the key first; its file must not exist.")
@click.option("-o", "--output", type=OUTPUT, help="[default: FILE itself]")
@json_option
def command(
    file: Path, key_file: Path, new_key: bool, output: Path | None, as_json: bool
) -> None:
    """Sign the model image FILE with HMAC-SHA-256.

    Boards that have the key (`microtrain provision`) take it, and no image without a signature;
    others do not look at it. Whoever has the key can sign.

    Example: microtrain sign model.mtm --key team.key --new-key
    """
    image.read(file)
    key = signature.new_key(key_file) if new_key else signature.read_key(key_file)
    data = signature.sign(file.read_bytes(), key)
    output = output or file
    write_atomically(output, data)
    name = signature.key_id(key)
    if as_json:
        print_json({"file": str(file), "output": str(output), "signed_with": name})
    else:
        click.echo(f"{file} -> {output}: signed with the key {name}")
