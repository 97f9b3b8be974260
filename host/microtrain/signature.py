"""The signature behind a model image. Specification, and what it promises: usermod_c/README.md."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import ModelError, SignatureError

MAGIC = b"MTSG"
VERSION, HMAC_SHA256 = 1, 1
KEY_BYTES = 32
BOARD_KEY = "/microtrain.key"  # firmware/microtrain/signature.py
_HEAD = struct.Struct("<4sHH8s")
_MAC_BYTES = 32
_SIGNED_HEADER = 48  # bytes of the image's header, which hold the SHA-256 of all the rest


@dataclass(frozen=True)
class Signature:
    """What stands behind an image. key_id tells keys apart, in hexadecimal."""

    version: int
    algorithm: int
    key_id: str
    mac: bytes

    @property
    def name(self) -> str:
        """For people."""
        if (self.version, self.algorithm) == (VERSION, HMAC_SHA256):
            return "HMAC-SHA-256"
        return f"unknown (version {self.version}, algorithm {self.algorithm})"


def key_id(key: bytes) -> str:
    """By which a key is named without being told: 8 bytes of its SHA-256, in hexadecimal."""
    return hashlib.sha256(key).hexdigest()[:16]


def split(data: bytes) -> tuple[bytes, Signature | None]:
    """The image without the signature behind it, and that. Raises ModelError."""
    if len(data) < 12:
        return data, None
    length = struct.unpack_from("<I", data, 8)[0]
    rest = data[length:]
    if not rest.startswith(MAGIC):
        return data, None
    if len(rest) != _HEAD.size + _MAC_BYTES:
        raise ModelError(f"the signature has {len(rest)} bytes, not {_HEAD.size + _MAC_BYTES}")
    _, version, algorithm, key = _HEAD.unpack_from(rest)
    return data[:length], Signature(version, algorithm, key.hex(), rest[_HEAD.size :])


def sign(data: bytes, key: bytes) -> bytes:
    """The image with a signature behind it, in the place of one that it had. `data` is an image
    that has been read without an error."""
    image, _ = split(data)
    head = _HEAD.pack(MAGIC, VERSION, HMAC_SHA256, bytes.fromhex(key_id(key)))
    return image + head + _mac(image, head, key)


def verify(data: bytes, key: bytes) -> None:
    """Raise SignatureError where `data`, an image that has been read, is not signed with `key`."""
    image, found = split(data)
    if found is None:
        raise SignatureError("the image is not signed")
    head = data[len(image) : -_MAC_BYTES]
    if found.key_id != key_id(key):
        raise SignatureError(f"signed with the key {found.key_id}, not with {key_id(key)}")
    known = (found.version, found.algorithm) == (VERSION, HMAC_SHA256)
    if not known or not hmac.compare_digest(_mac(image, head, key), found.mac):
        raise SignatureError("the signature does not match: the image was altered")


def _mac(image: bytes, head: bytes, key: bytes) -> bytes:
    return hmac.digest(key, image[:_SIGNED_HEADER] + head, "sha256")


def new_key(path: Path) -> bytes:
    """Make a key and write it to the new file `path`, for its owner. Raises SignatureError."""
    key = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror}: a new key needs a new file") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
    return key


def read_key(path: Path) -> bytes:
    """The key in a file of 64 hexadecimal digits. Raises SignatureError."""
    try:
        text = path.read_bytes().decode("ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror}: --new-key makes one") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SignatureError(f"{path}: not a key, which is {2 * KEY_BYTES} hexadecimal digits")
    return key
