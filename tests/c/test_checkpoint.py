"""The engine's reader of a checkpoint's beginning: every field, and what is damaged."""

from __future__ import annotations

import ctypes as C
import struct
import zlib

import engine as E
import pytest
from hypothesis import given
from hypothesis import strategies as st

HEADER = "<4sHHII32sIIIf"
IMAGE = bytes(range(32))
HEAD = 93


def head(
    description: int = 40, state: int = 24, version: tuple[int, int] = (1, 1), lr: float = 0.25,
    numbers: tuple[int, int, int] = (9, 2, 7),
) -> bytes:  # fmt: skip
    header = struct.pack(HEADER, b"MTC1", *version, description, state, IMAGE, *numbers, lr)
    return header + b'{"header_crc32": "%08x", ' % zlib.crc32(header)


def opened(data: bytes, length: int) -> tuple[int, ...] | tuple[bytes, tuple[float, ...]]:
    """(code, need, have), or the image's SHA-256 and the other fields. `data` ends at the end of
    its memory, so that the sanitizers see a byte too many."""
    memory = (C.c_uint8 * len(data)).from_buffer_copy(data)
    found, error = E.CheckpointHeader(), E.Error()
    code = E.LIB.mt_checkpoint_open(C.byref(found), memory, len(data), length, C.byref(error))
    if code:
        assert error.code == code
        return code, error.need, error.have
    numbers = found.description, found.state, found.steps, found.epochs, found.seed, found.lr
    return C.string_at(found.image, 32), numbers


WHOLE = 64 + 40 + 24 + 32


def test_every_field() -> None:
    assert opened(head(), WHOLE) == (IMAGE, (40, 24, 9, 2, 7, 0.25))
    # 1.0 has no CRC-32, and the next minor version is read as well.
    assert opened(head(version=(1, 0))[:64], WHOLE) == (IMAGE, (40, 24, 9, 2, 7, 0.25))
    assert opened(head(version=(1, 9)), WHOLE) == (IMAGE, (40, 24, 9, 2, 7, 0.25))


@given(
    st.integers(0, 2**31), st.integers(0, 2**31), st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
    st.floats(0, 2.0**31, exclude_max=True, width=32),
)  # fmt: skip
def test_any_fields(
    description: int, state: int, numbers: tuple[int, int, int], lr: float
) -> None:
    length = 64 + description + state + 32
    data = head(description, state, lr=lr, numbers=numbers)
    if length < 2**32:
        assert opened(data, length) == (IMAGE, (description, state, *numbers, lr))
    assert opened(data, 5) == (-3, min(length, 2**32 - 1), 5)


def test_every_flipped_bit_of_the_header_is_noticed() -> None:
    for bit in range(8 * HEAD):
        data = bytearray(head())
        data[bit // 8] ^= 1 << bit % 8
        code = opened(bytes(data), WHOLE)[0]
        # Without its bit the minor version is 0, which has no CRC-32: SHA-256 finds that.
        expected = -1 if bit < 32 else -2 if bit < 48 else IMAGE if bit == 48 else -16
        assert code == expected, bit


def test_every_truncation_is_refused() -> None:
    for length in range(HEAD):
        assert opened(head()[:length], WHOLE)[0] == (-1 if length < 64 else -16)
    assert opened(b"", 0)[0] == -1


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -0.5, 2.0**31])
def test_impossible_learning_rates(lr: float) -> None:
    assert opened(head(lr=lr), WHOLE)[0] == -14


def test_lengths_do_not_wrap() -> None:
    assert opened(head(2**32 - 1, 2**32 - 1), 94) == (-3, 2**32 - 1, 94)
    assert opened(head(2**32 - 96, 0), 0)[0] == -3


def test_wrong_version() -> None:
    assert opened(head(version=(2, 0)), WHOLE) == (-2, 1, 2)
