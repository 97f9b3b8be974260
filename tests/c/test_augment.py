"""Augmented samples of every shape equal the numpy reference bit for bit."""

from __future__ import annotations

import ctypes as C

import engine as E
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.augment import augment
from reference.rounding import Rng

NAMES = ("flip", "shift", "brightness", "cutout")
GUARD = 16


def run(
    x: NDArray[np.int8], state: int, zero: int, *settings: int
) -> tuple[NDArray[np.int8], int]:
    """The sample that the engine makes, and the state of its generator then."""
    block = np.full(x.size + 2 * GUARD, 85, np.int8)
    block[GUARD:-GUARD] = x.reshape(-1)
    words = np.array([*settings, state], np.uint32)
    shape = C.byref(E.AugmentShape(*x.shape, zero))
    drawn = E.LIB.mt_augment_draw(words.ctypes.data, shape)
    E.LIB.mt_augment_sample(C.byref(drawn), block.ctypes.data + GUARD, shape)
    assert (block[:GUARD] == 85).all() and (block[-GUARD:] == 85).all()
    assert words[:4].tolist() == list(settings)
    return block[GUARD:-GUARD].reshape(x.shape), int(words[4])


@given(
    shape=st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 5)),
    seed=st.integers(0, 2**32 - 1), zero=st.integers(-128, 127), flip=st.integers(0, 1),
    shift=st.integers(0, 16), brightness=st.integers(0, 255),
    cutout=st.one_of(st.integers(0, 20), st.just(65535)),
)  # fmt: skip
def test_equals_the_reference(
    shape: tuple[int, int, int], seed: int, zero: int, **changes: int
) -> None:
    x = np.random.default_rng(seed).integers(-128, 128, shape, np.int8)
    rng = Rng(seed)
    settings = [changes[name] for name in NAMES]
    for _ in range(5):
        found, state = run(x, rng.x, zero, *settings)
        x = augment(x, rng, *settings, zero)
        np.testing.assert_array_equal(found, x)
        assert state == rng.x


def test_every_change_happens_and_none_too_often() -> None:
    """Over 4,000 samples: each value that a change may take comes, as often as it should."""
    x = np.arange(1, 16, dtype=np.int8).reshape(3, 5, 1)
    state = Rng(7).x
    flipped, shifts, added, centres = [], [], [], []
    for _ in range(4000):
        y, state = run(x, state, 0, 1, 0, 0, 0)
        flipped.append(bool((y == x[:, ::-1]).all()))
        y, state = run(x, state, 0, 0, 1, 0, 0)
        shifts.append(y.tobytes())
        y, state = run(x, state, 0, 0, 0, 2, 0)
        added.append(int(y[0, 0, 0]) - 1)
        y, state = run(x, state, 0, 0, 0, 0, 1)
        centres.append(int(np.flatnonzero(y == 0)[0]))
    for found, count in ((flipped, 2), (shifts, 9), (added, 5), (centres, 15)):
        _, times = np.unique(np.array(found), return_counts=True)
        assert len(times) == count
        assert abs(times * count / 4000 - 1).max() < 0.25
