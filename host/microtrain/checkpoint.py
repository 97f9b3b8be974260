"""The checkpoint `.mtc`: what a board has trained of a model.

Specification: firmware/README.md.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtrain.errors import CheckpointError
from microtrain.files import read_checked

MAGIC = b"MTC1"
MAJOR = 1
_HEADER = struct.Struct("<4sHHII32sIIIf")
_CRC = '{"header_crc32": "%08x", '  # how a description begins from version 1.1 on
_DIGEST_BYTES = 32
assert _HEADER.size == 64


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose bytes are whole.

    image_sha256: the SHA-256 in the header of the image it belongs to, in hexadecimal. steps,
    epochs: samples learned from, complete epochs. seed, lr: of the run that made it. scheme: a
    name, or the JSON object of host/README.md. new_classes: outputs of a new head, 0 for the
    image's own. state: the engine's trained tensors and random state. fit: where the fit stood in
    which it was saved (firmware/README.md), None: in none. best_state: the state of that fit's
    best epoch, empty where it keeps none.
    """

    image_sha256: str
    steps: int
    epochs: int
    seed: int
    lr: float
    scheme: str | dict[str, Any]
    loss: str
    new_classes: int
    labels: list[str] | None
    model: str
    state: bytes
    fit: dict[str, Any] | None = None
    best_state: bytes = b""

    @property
    def scheme_name(self) -> str:
        """The scheme's name; "custom" where it has none."""
        if isinstance(self.scheme, str):
            return self.scheme
        return str(self.scheme.get("name", "custom"))

    @property
    def layers(self) -> dict[str, Any] | None:
        """The trained layers of a scheme that lists them (host/README.md), else None."""
        return None if isinstance(self.scheme, str) else self.scheme.get("layers")


def read(path: Path) -> Checkpoint:
    """Read and check a .mtc file. Raises CheckpointError."""
    return read_checked(path, from_bytes, CheckpointError)


def from_bytes(data: bytes) -> Checkpoint:
    """The checkpoint in the bytes of a .mtc file. Raises CheckpointError."""
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise CheckpointError("not a checkpoint: it does not start with 'MTC1' and a header")
    _, major, minor, about, state, image, steps, epochs, seed, lr = _HEADER.unpack_from(data)
    if major != MAJOR:
        raise CheckpointError(f"checkpoint version {major}.{minor}, this program reads {MAJOR}.x")
    if minor and not data[_HEADER.size :].startswith(_crc(data)):
        raise CheckpointError("the CRC-32 of the header does not match: the header is damaged")
    state_at = _HEADER.size + about
    end = state_at + state
    if len(data) != end + _DIGEST_BYTES:
        raise CheckpointError(
            f"the header says {end + _DIGEST_BYTES} bytes but there are {len(data)}: truncated?"
        )
    if hashlib.sha256(data[:end]).digest() != data[end:]:
        raise CheckpointError("the SHA-256 does not match: the file is damaged")
    fields = _description(data[_HEADER.size : state_at])
    states = data[state_at:end]
    # With the state of the best epoch, as long as its own, behind it.
    length = len(states) // (2 if _keeps_best(fields["fit"]) else 1)
    return Checkpoint(
        image_sha256=image.hex(), steps=steps, epochs=epochs, seed=seed, lr=lr,
        state=states[:length], best_state=states[length:], **fields,
    )  # fmt: skip


def _crc(data: bytes) -> bytes:
    return (_CRC % zlib.crc32(data[: _HEADER.size])).encode()


def _keeps_best(fit: dict[str, Any] | None) -> bool:
    return bool(fit and fit.get("keep_best") and fit.get("best"))


def _description(text: bytes) -> dict[str, Any]:
    """The fields of the JSON object, of the right types."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the description is not JSON: {error}") from None
    types: dict[str, tuple[type, ...]] = {
        "scheme": (str, dict), "loss": (str,), "new_classes": (int,),
        "labels": (list, type(None)), "model": (str,), "fit": (dict, type(None)),
    }  # fmt: skip
    for name, allowed in types.items():
        if not isinstance(about, dict) or not isinstance(about.get(name), allowed):
            raise CheckpointError(f"the description has no valid {name!r}: {text[:80]!r}")
    return {name: about.get(name) for name in types}
