"""Gradients stored and masked equal Python's integers: every boundary, every address."""

from __future__ import annotations

import ctypes as C

import engine as E
import numpy as np
import pytest
from numpy.typing import NDArray

INT32_MAX = 2**31 - 1


class Gradient(C.Structure):
    _fields_ = [("data", C.c_void_p), ("wide", C.c_bool)]


class Out(C.Structure):
    _fields_ = [
        ("out", C.c_void_p), ("skip", C.c_void_p), ("scratch", C.c_void_p), ("first", C.c_int32),
        ("end", C.c_int32), ("bits", C.c_int), ("skip_shift", C.c_int),
        ("pre_shift", C.c_int), ("shift", C.c_int), ("seen_bits", C.c_uint32),
        ("over", C.c_uint32), ("saturated", C.c_uint32),
    ]  # fmt: skip


class Mask(C.Structure):
    _fields_ = [
        ("act_min", C.c_int32), ("act_max", C.c_int32), ("low", C.c_bool), ("high", C.c_bool),
    ]  # fmt: skip


def edges(shift: int, bits: int) -> list[int]:
    """Accumulators around which something changes."""
    most, half = (1 << (bits - 1)) - 1, 1 << shift >> 1
    marks = [0, half, most << shift, (most << shift) + half, (most + 1) << shift, 1 << 30, 1 << 31]
    near = [s * (m + d) for m in marks for d in (-1, 0, 1) for s in (-1, 1)]
    return [x for x in near if -(1 << 31) <= x <= INT32_MAX]


def stored(
    acc: NDArray[np.int32], skip: NDArray[np.int64] | None, out: Out
) -> tuple[list[int], int, int, int]:
    most = (1 << (out.bits - 1)) - 1
    result, seen, over, saturated = [], 0, 0, 0
    for i, value in enumerate(acc.tolist()):
        a = value >> out.pre_shift
        if skip is not None:
            q, d = int(skip[i]), out.skip_shift
            a += q << d if d >= 0 else q >> -d
        a = max(-INT32_MAX, min(INT32_MAX, a))
        seen |= abs(a)
        over += abs(a) >= (most + 1) << out.shift
        q = (a + (1 << out.shift >> 1)) >> out.shift
        saturated += abs(q) > most
        result.append(max(-most, min(most, q)))
    return result, seen, over, saturated


def check(rng: np.random.Generator, shift: int, bits: int) -> None:
    n, index = int(rng.integers(1, 150)), int(rng.integers(6))
    # all small, few or many at the edges
    acc = rng.integers(-(1 << 6 << shift), (1 << 6 << shift) + 1, n)
    chosen = rng.random(n) < rng.choice([0, 0.03, 1])
    acc[chosen] = rng.choice(edges(shift, bits), int(chosen.sum()))
    acc = acc.clip(-(1 << 31), INT32_MAX).astype(np.int32)
    dtype, most = (np.int8, 127) if bits == 8 else (np.int16, 2047)
    skip = rng.integers(-most, most + 1, n + index).astype(dtype) if rng.random() < 0.5 else None
    target = np.full(n + index + 8, 99, dtype)
    out = Out(
        target.ctypes.data, None if skip is None else skip.ctypes.data, None, 0, 0, bits,
        0 if skip is None else int(rng.integers(-31, 32 - bits)),
        0 if rng.random() < 0.8 else int(rng.integers(32)), shift,
    )  # fmt: skip
    E.LIB.mt_gradient_store(C.byref(out), C.c_void_p(acc.ctypes.data), C.c_size_t(index),
                            C.c_size_t(n))  # fmt: skip
    waiting = None if skip is None else skip[index:].astype(np.int64)
    expected, seen, over, saturated = stored(acc, waiting, out)
    np.testing.assert_array_equal(target[index : index + n], expected)
    assert (target[:index] == 99).all() and (target[index + n :] == 99).all()
    assert (out.seen_bits, out.over, out.saturated) == (seen, over, saturated)


@pytest.mark.parametrize("bits", [8, 12])
def test_gradients_are_stored_exactly(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for shift in range(25):
        for _ in range(40):
            check(rng, shift, bits)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_masks(dtype: type) -> None:
    rng = np.random.default_rng(0)
    for n in (*range(1, 40), 257):
        for offset in range(4):
            source = np.zeros(n + 8, dtype)
            source[offset : offset + n] = rng.integers(-127, 128, n)
            y = rng.integers(-128, 128, n).astype(np.int8)
            mask = Mask(-128 + int(rng.integers(90)), 127 - int(rng.integers(90)),
                        bool(rng.integers(2)), bool(rng.integers(2)))  # fmt: skip
            passes = ~(mask.low & (y <= mask.act_min)) & ~(mask.high & (y >= mask.act_max))
            bits = np.packbits(passes, bitorder="little")
            expected = np.where(passes, source[offset : offset + n], 0)
            for given in (bits, None):
                for in_place in (False, True):
                    held = source.copy()
                    target = held if in_place else np.full(n + 8, 77, dtype)
                    after = target.copy()
                    after[offset : offset + n] = expected
                    place = offset * source.itemsize
                    E.LIB.mt_mask_apply(
                        C.byref(mask), None if given is None else C.c_void_p(bits.ctypes.data),
                        C.c_void_p(y.ctypes.data),
                        Gradient(held.ctypes.data + place, dtype is np.int16),
                        C.c_void_p(target.ctypes.data + place), C.c_size_t(n),
                    )  # fmt: skip
                    np.testing.assert_array_equal(target, after)
