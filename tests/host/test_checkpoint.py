"""The host's reader of checkpoints, on files of a board and on damaged ones."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from graphs import Builder

from microtrain import checkpoint, image
from microtrain.cli import cli
from microtrain.errors import CheckpointError
from microtrain.fixed_point import Activation
from microtrain.link import Device, VirtualBoard

ABOUT = {"scheme": "last", "loss": "mse", "new_classes": 0, "labels": None, "model": "net"}
STATE = bytes(range(24))
ON_THE_BOARD = """
import microtrain as mt
model = mt.Model("net.mtm")
model.new_head({classes}, {labels!r})
trainer = mt.Trainer(model, {scheme!r}, lr=0.25, seed=7)
for i in range(9):
    trainer.step(bytes(range(48)), i % {classes})
model.save("net.mtc")
print(bytes(trainer.session.state()).hex())
"""


def packed(about: bytes, *, version: int = 1) -> bytes:
    """A checkpoint written by hand, after the table of firmware/README.md."""
    data = b"MTC1" + struct.pack("<HHII", version, 0, len(about), len(STATE)) + b"\xab" * 32
    data += struct.pack("<IIIf", 9, 2, 7, 0.25) + about + STATE
    return data + hashlib.sha256(data).digest()


WHOLE = packed(json.dumps(ABOUT).encode())


def test_reads_every_field() -> None:
    assert checkpoint.from_bytes(WHOLE) == checkpoint.Checkpoint(
        "ab" * 32, 9, 2, 7, 0.25, "last", "mse", 0, None, "net", STATE
    )


def test_every_truncation_is_refused() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(CheckpointError):
            checkpoint.from_bytes(WHOLE[:length])
    with pytest.raises(CheckpointError, match=r"truncated\?"):
        checkpoint.from_bytes(WHOLE + b"\0")


def test_every_flipped_bit_is_refused() -> None:
    for bit in range(8 * len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            checkpoint.from_bytes(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a checkpoint"),
        (b"MTMI" + WHOLE[4:], "not a checkpoint"),
        (packed(b"{}", version=2), "version 2.0, this program reads 1.x"),
        (WHOLE[:-1], f"says {len(WHOLE)} bytes but there are {len(WHOLE) - 1}"),
        (WHOLE[:-1] + b"\0", "SHA-256 does not match"),
        (packed(b"{"), "not JSON"),
        (packed(b"\xff"), "not JSON"),
        (packed(b"[" * 200_000), "not JSON"),
        (packed(b"[]"), "no valid 'scheme'"),
        (packed(json.dumps({**ABOUT, "new_classes": "4"}).encode()), "no valid 'new_classes'"),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        checkpoint.from_bytes(data)


def network() -> bytes:
    b = Builder(np.random.default_rng(3), 4, 4, 3, dead_channels=False)
    t = b.mean(b.conv(0, 6, (3, 3), pad=(1, 1), activation=Activation.RELU))
    b.linear(t, 5)
    return image.to_bytes(b.graph)


@pytest.mark.parametrize(
    "scheme", ["bias", {"name": "mine", "layers": {"conv2d_0": {"bias": True, "weights": [0, 2]}}}]
)
def test_inspects_what_a_board_has_saved(scheme: Any, tmp_path: Path) -> None:
    labels, path = ["a", "b", "ä"], tmp_path / "net.mtc"
    (tmp_path / "net.mtm").write_bytes(network())
    with VirtualBoard() as board, Device(board.port) as device:
        device.write("net.mtm", network())
        code = ON_THE_BOARD.format(classes=3, labels=labels, scheme=scheme)
        state = bytes.fromhex(device.exec(code, timeout=10).strip())
        device.pull("net.mtc", path)
    assert checkpoint.read(path).state == state
    said, of_image = (
        json.loads(CliRunner().invoke(cli, ["inspect", str(file), "--json"]).stdout)
        for file in (path, tmp_path / "net.mtm")
    )
    assert said == {
        "file": str(path), "kind": "checkpoint", "bytes": path.stat().st_size, "model": "random",
        "image_header_sha256": of_image["header_sha256"],
        "scheme": "bias" if scheme == "bias" else "mine",
        "layers": None if scheme == "bias" else scheme["layers"],
        "loss": "cross_entropy", "new_classes": 3, "labels": labels, "steps": 9, "epochs": 0,
        "lr": 0.25, "seed": 7, "state_bytes": len(state), "fit": None,
    }  # fmt: skip
    text = CliRunner().invoke(cli, ["inspect", str(path)]).stdout
    assert f"state_bytes          {len(state)}\n" in text and "layers" not in text


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.mtc"
    path.write_bytes(WHOLE[:-1])
    result = CliRunner().invoke(cli, ["inspect", str(path)])
    assert isinstance(result.exception, CheckpointError)
    assert str(path) in str(result.exception)
