"""Signed images and keys: the host's functions, the commands, and boards with a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_net
from click.testing import CliRunner

from microtrain import image, signature
from microtrain.cli import cli
from microtrain.errors import MicrotrainError, ModelError, RemoteError, SignatureError
from microtrain.link import Device, VirtualBoard
from microtrain.link.rom import Rom

IMAGE = image.to_bytes(tiny_net.graph())
KEY = bytes(range(32))


def test_sign_and_verify() -> None:
    data = signature.sign(IMAGE, KEY)
    assert data[: len(IMAGE)] == IMAGE and len(data) == len(IMAGE) + 48
    signature.verify(data, KEY)
    found = signature.split(data)[1]
    assert found and (found.name, found.key_id) == ("HMAC-SHA-256", signature.key_id(KEY))
    assert signature.sign(data, KEY) == data  # in the place of the old one
    assert image.to_bytes(image.from_bytes(data)) == IMAGE
    with pytest.raises(SignatureError, match="signed with the key 630d"):
        signature.verify(data, KEY[::-1])
    with pytest.raises(SignatureError, match="not signed"):
        signature.verify(IMAGE, KEY)


def test_every_flipped_bit_is_refused() -> None:
    whole = signature.sign(IMAGE, KEY)
    for bit in [*range(8 * 48), *range(8 * len(IMAGE), 8 * len(whole))]:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MicrotrainError):
            image.from_bytes(bytes(data))  # the header's SHA-256, or what follows the image
            signature.verify(bytes(data), KEY)


def test_a_torn_signature_is_no_image() -> None:
    whole = signature.sign(IMAGE, KEY)
    for length in range(len(IMAGE) + 1, len(whole)):
        with pytest.raises(ModelError):
            image.from_bytes(whole[:length])


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "\xff" * 64])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.key"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SignatureError, match="64 hexadecimal digits"):
        signature.read_key(path)


def run(*arguments: str | Path) -> dict[str, object]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception:
        raise result.exception
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sign, inspect, provision; then a board that refuses, in its file system and in ROMFS."""
    monkeypatch.setenv("MICROTRAIN_BOARD_FOLDER", str(tmp_path / "board"))
    tiny_net.write_all(tmp_path)
    plain, signed, key = (tmp_path / name for name in ("tiny.mtm", "signed.mtm", "team.key"))
    with pytest.raises(SignatureError, match="--new-key makes one"):
        run("sign", plain, "--key", key)
    said = run("sign", plain, "--key", key, "--new-key", "-o", signed, "--json")
    assert key.stat().st_mode & 0o777 == 0o600
    name = signature.key_id(signature.read_key(key))
    assert said["signed_with"] == name
    with pytest.raises(SignatureError, match="needs a new file"):
        run("sign", plain, "--key", key, "--new-key")
    assert run("inspect", signed, "--json")["signed_with"] == name
    assert run("inspect", plain, "--json")["signature"] is None

    arguments = ["--data", tmp_path / "val.mtd", "--json"]
    assert run("eval", "--model", plain, *arguments)["samples"] == 40
    assert run("provision", "--key", key, "--json")["changed"] is True
    assert run("provision", "--key", key, "--json")["changed"] is False
    other = tmp_path / "other.key"
    signature.new_key(other)
    with pytest.raises(SignatureError, match=f"the board has another key, {name}: remove"):
        run("provision", "--key", other)
    assert run("eval", "--model", signed, *arguments)["samples"] == 40
    with pytest.raises(MicrotrainError, match="image not signed: this board takes only"):
        run("eval", "--model", plain, *arguments)


def test_a_board_with_a_key_refuses_what_is_in_romfs(tmp_path: Path) -> None:
    rom = tmp_path / "rom.img"
    rom.write_bytes(b"\xff" * (256 << 10))
    with VirtualBoard(tmp_path / "board", rom=rom) as board, Device(board.port) as device:
        device.write(signature.BOARD_KEY, KEY)
        device.exec("import microtrain as mt")
        found = Rom.of(device)
        assert found is not None
        found.put("plain.mtm", IMAGE)
        found.put("signed.mtm", signature.sign(IMAGE, KEY))
        device.exec("import microtrain as mt")
        assert device.eval("mt.Model('/rom/signed.mtm').in_place") is True
        with pytest.raises(RemoteError, match="image not signed: this board takes only"):
            device.exec("mt.Model('/rom/plain.mtm')")
