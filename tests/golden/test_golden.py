"""Checkpoints that earlier versions wrote are read forever, on the host and on a board; and what
this version writes, a reader of version 1.0 takes where it can."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from microtrain import checkpoint
from microtrain.link import Device, VirtualBoard

HERE = Path(__file__).resolve().parent
IMAGE = "7cec5b978e776f69ee9dadaa8c8475ceddc72962d3f149d963af940e89fbed0c"
SCHEME = {
    "name": "mine",
    "layers": {
        "conv2d_2": {"bias": True, "weights": [1, 2, 6]},
        "linear_4": {"bias": True, "weights": "all"},
    },
}
# SHA-256 of the state in 1.0.mtc, and after one more epoch, both from the program that wrote it.
STATE_1_0 = "dcc13f42aaaafb55045e84acfb939a6b04d27f488f5105a7ac213b87bdb41f67"
NEXT_1_0 = "10fdb6e9f6d43da4b01dc157eea0ef7c54bf80d112c8dbe882020f7edad029b0"
# The same of the fit in 1.1.mtc, at its end.
END_1_1 = "08148ae55e1bd03c5a2a5fd94ec1eb33c0b34cc3ba1cea4c98d7dbd6156a3983"
FIT_1_1 = {
    "samples": 64, "epochs": 2, "shuffle": True, "schedule": "cosine", "warmup": 7, "patience": 0,
    "keep_best": True, "done": 100, "epoch_sums": [3617329, 8, 36, 1],
    "augment": [1, 1, 9, 2, 2876568255, 5], "extra": {"run": "golden"},
    "best": {"epoch": 1, "steps": 64, "sums": [6176724, 17, 64, 0], "waited": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def board() -> Iterator[Device]:
    with VirtualBoard() as virtual, Device(virtual.port) as device:
        for path in HERE.glob("*.mt?"):
            device.push(path, f"/{path.name}")
        device.exec(
            "import hashlib\nimport microtrain as mt\nmodel = mt.Model('/tiny.mtm')\n"
            "data = mt.Dataset('/train.mtd')\nquiet = lambda report: None\n"
            "sha = lambda t: hashlib.sha256(t.session.state()).digest().hex()"
        )
        yield device


def test_1_0(board: Device) -> None:
    found = checkpoint.read(HERE / "1.0.mtc")
    assert (found.image_sha256, found.steps, found.epochs, found.seed) == (IMAGE, 128, 2, 3)
    assert (found.scheme, found.new_classes, found.fit) == (SCHEME, 4, None)
    assert found.labels == ["north", "east", "south", "wést"] and not found.best_state
    assert hashlib.sha256(found.state).hexdigest() == STATE_1_0
    board.exec("trainer = model.restore('/1.0.mtc')")
    assert board.eval("(sha(trainer), trainer.wide, trainer.gradient_bits, trainer.steps)") == (
        STATE_1_0, True, 12, 128
    )  # fmt: skip
    board.exec("trainer.fit(data, 1, on_epoch=quiet)", timeout=20)
    assert board.eval("sha(trainer)") == NEXT_1_0


def test_1_1(board: Device) -> None:
    found = checkpoint.read(HERE / "1.1.mtc")
    assert (found.image_sha256, found.steps, found.epochs, found.seed) == (IMAGE, 100, 1, 3)
    assert (found.scheme, found.fit) == (SCHEME, FIT_1_1)
    assert len(found.best_state) == len(found.state) and found.best_state != found.state
    board.exec("trainer = model.restore('/1.1.mtc')")
    assert board.eval("(sha(trainer), bytes(trainer.unfinished.best.copy))") == (
        hashlib.sha256(found.state).hexdigest(), found.best_state
    )  # fmt: skip
    board.exec("trainer.resume(data, data, quiet)", timeout=20)
    assert board.eval("(sha(trainer), trainer.best['epoch'])") == (END_1_1, 1)


def test_the_header_and_the_body_are_told_apart(board: Device) -> None:
    content = (HERE / "1.1.mtc").read_bytes()
    assert int(content[82:90], 16) == zlib.crc32(content[:64])
    for at, what in ((9, "header"), (60, "header"), (85, "header"), (200, "SHA-256")):
        damaged = bytearray(content)
        damaged[at] ^= 1
        with pytest.raises(checkpoint.CheckpointError, match=what):
            checkpoint.from_bytes(bytes(damaged))
        board.write("/bad.mtc", bytes(damaged))
        with pytest.raises(Exception, match=what):
            board.exec("model.restore('/bad.mtc')")


def read_as_1_0(data: bytes) -> dict[str, object]:
    """What a reader of version 1.0 takes: the table of that version, and nothing more."""
    magic, major, _, about, state = struct.unpack_from("<4sHHII", data)
    assert magic == b"MTC1" and major == 1
    assert len(data) == 64 + about + state + 32
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    description: dict[str, object] = json.loads(data[64 : 64 + about])
    return {**description, "state": data[64 + about : -32]}


def test_what_is_written_today_is_read_as_1_0(board: Device) -> None:
    """But for the state, twice as long, of a fit that keeps its best epoch."""
    board.exec(
        "trainer = model.restore('/1.1.mtc')\nmodel.save('/plain.mtc')\n"
        "from microtrain import checkpoint\n"
        "trainer.unfinished.best = None\n"
        "checkpoint.save(model, '/fit.mtc', trainer.unfinished)"
    )
    state = checkpoint.read(HERE / "1.1.mtc").state
    for name in ("/plain.mtc", "/fit.mtc"):
        old = read_as_1_0(board.eval(f"open('{name}', 'rb').read()"))
        assert (old["scheme"], old["loss"], old["state"]) == (SCHEME, "cross_entropy", state)
    assert read_as_1_0((HERE / "1.1.mtc").read_bytes())["scheme"] == SCHEME
