"""The engine's check of an image's signature, against Python's hmac and hashlib."""

from __future__ import annotations

import ctypes as C
import hashlib
import hmac
import struct

import engine as E
import numpy as np
import tiny_net
from hypothesis import given
from hypothesis import strategies as st

from microtrain import image

UNSIGNED, WRONG = -17, -18
IMAGE = image.to_bytes(tiny_net.graph())
KEY = bytes(range(7, 39))


def signed(data: bytes, key: bytes, version: int = 1, algorithm: int = 1) -> bytes:
    """After the table of usermod_c/README.md."""
    head = struct.pack("<4sHH", b"MTSG", version, algorithm) + hashlib.sha256(key).digest()[:8]
    return data + head + hmac.new(key, data[:48] + head, "sha256").digest()


def check(data: bytes, key: bytes = KEY) -> int:
    # At the end of its memory, so that the sanitizers see a byte too many.
    memory = E.aligned(len(data))
    memory[:] = np.frombuffer(data, np.uint8)
    model, error = E.CModel(), E.Error()
    at = memory.ctypes.data
    code = E.LIB.mt_model_open(C.byref(model), at, len(data), True, C.byref(error))
    assert code == 0
    code = E.LIB.mt_signature_check(C.byref(model), len(data), key, C.byref(error))
    assert error.code == code
    return int(code)


@given(st.binary(min_size=32, max_size=32))
def test_any_key(key: bytes) -> None:
    assert check(signed(IMAGE, key), key) == 0
    assert check(signed(IMAGE, key), bytes([key[0] ^ 1]) + key[1:]) == WRONG


def test_unsigned_and_truncated() -> None:
    whole = signed(IMAGE, KEY)
    for length in range(len(IMAGE), len(whole)):
        assert check(whole[:length]) == UNSIGNED
    assert check(IMAGE + bytes(100)) == UNSIGNED
    assert check(whole + b"more") == 0  # ROMFS may pad


def test_every_flipped_bit_of_it_is_refused() -> None:
    whole = signed(IMAGE, KEY)
    for bit in range(8 * len(IMAGE), 8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        # The name of the key is signed too.
        assert check(bytes(data)) == (UNSIGNED if bit < 8 * len(IMAGE) + 32 else WRONG)


def test_every_changed_byte_of_the_image_is_refused() -> None:
    """With its SHA-256 made right, as somebody without the key can. In metadata and header, where
    any bytes are a valid image."""
    trailer = signed(IMAGE, KEY)[len(IMAGE) :]
    meta, length = struct.unpack_from("<II", IMAGE, 64)
    for at in (6, 76, 95, *range(meta, meta + length)):
        data = bytearray(IMAGE)
        data[at] ^= 1
        data[16:48] = hashlib.sha256(data[48:]).digest()
        assert check(bytes(data) + trailer) == WRONG


def test_a_signature_of_another_image_is_refused() -> None:
    other = image.to_bytes(tiny_net.graph(seed=7))
    assert check(IMAGE + signed(other, KEY)[len(other) :]) == WRONG


def test_other_versions_are_refused() -> None:
    assert check(signed(IMAGE, KEY, version=2)) == check(signed(IMAGE, KEY, algorithm=2)) == WRONG
