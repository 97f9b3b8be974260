"""SHA-256 (C) against FIPS 180-4's examples and hashlib, in pieces, at any address."""

from __future__ import annotations

import ctypes
import hashlib

import pytest
from engine import load
from hypothesis import example, given
from hypothesis import strategies as st

lib = load()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
CANARY = 0xA5


class State(ctypes.Structure):
    _fields_ = (
        ("h", ctypes.c_uint32 * 8), ("length", ctypes.c_uint64), ("rest", ctypes.c_uint8 * 64),
        ("canary", ctypes.c_uint8 * 8),
    )  # fmt: skip


class Hash:
    """The engine's state, with bytes behind it that must stay."""

    def __init__(self) -> None:
        self.state = State(canary=(ctypes.c_uint8 * 8)(*[CANARY] * 8))
        lib.mt_sha256_init(ctypes.byref(self.state))

    def update(self, data: bytes, offset: int = 0) -> None:
        """offset: of the bytes from an address that is a multiple of 16."""
        # No byte more than there are: ASan finds a read behind them.
        memory = libc.malloc(offset + len(data))
        ctypes.memmove(memory + offset, data, len(data))
        lib.mt_sha256_update(
            ctypes.byref(self.state), ctypes.c_void_p(memory + offset), ctypes.c_size_t(len(data))
        )
        libc.free(ctypes.c_void_p(memory))

    def digest(self) -> bytes:
        out = (ctypes.c_uint8 * 40)(*[CANARY] * 40)
        lib.mt_sha256_digest(ctypes.byref(self.state), out)
        assert list(out[32:]) == list(self.state.canary) == [CANARY] * 8
        return bytes(out[:32])


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)  # fmt: skip
def test_examples_of_the_standard(message: bytes, digest: str) -> None:
    found = Hash()
    found.update(message)
    assert found.digest().hex() == digest
    whole = (ctypes.c_uint8 * 32)()
    lib.mt_sha256(message, ctypes.c_size_t(len(message)), whole)
    assert bytes(whole).hex() == digest


def test_every_length_and_address() -> None:
    data = bytes(range(256))
    for length in range(200):
        for offset in range(4):
            found = Hash()
            found.update(data[:length], offset)
            assert found.digest() == hashlib.sha256(data[:length]).digest()


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 15)), max_size=8))
@example([(b"x" * 63, 1), (b"y", 2), (b"z" * 64, 3), (b"", 0), (b"w" * 65, 1)])
def test_pieces(pieces: list[tuple[bytes, int]]) -> None:
    found, expected = Hash(), hashlib.sha256()
    for data, offset in pieces:
        found.update(data, offset)
        expected.update(data)
        # A digest changes nothing of what follows.
        assert found.digest() == expected.digest()


def test_more_than_32_bits_of_length() -> None:
    """The count of bits, which ends the message: of 512 MB it needs 33."""
    found, expected = Hash(), hashlib.sha256()
    block = b"\0" * (1 << 20)
    memory = ctypes.create_string_buffer(block, len(block))
    for _ in range(513 if "asan" not in lib._name else 1):
        lib.mt_sha256_update(ctypes.byref(found.state), memory, ctypes.c_size_t(len(block)))
        expected.update(block)
    assert found.digest() == expected.digest()
