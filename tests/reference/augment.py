"""Random changes of a sample, as usermod_c/core/augment.h says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reference.rounding import Rng


def augment(
    x: NDArray[np.int8], rng: Rng, flip: bool, shift: int, brightness: int, cutout: int, zero: int
) -> NDArray[np.int8]:
    """x of h x w x c, changed."""
    h, w, c = x.shape

    def draw(n: int) -> int:
        return rng.next() * n >> 32

    if flip and draw(2):
        x = x[:, ::-1]
    if brightness:
        added = draw(2 * brightness + 1) - brightness
        x = np.clip(x.astype(np.int64) + added, -128, 127).astype(np.int8)
    if shift:
        right = draw(2 * shift + 1) - shift
        down = draw(2 * shift + 1) - shift if h > 1 else 0
        wide = np.full((h + 2 * shift, w + 2 * shift, c), zero, np.int8)
        wide[shift + down : shift + down + h, shift + right : shift + right + w] = x
        x = wide[shift : shift + h, shift : shift + w]
    if cutout:
        y, left = draw(h) - cutout // 2, draw(w) - cutout // 2
        rows, columns = np.arange(h)[:, None], np.arange(w)[None, :]
        inside = (rows >= y) & (rows < y + cutout) & (columns >= left) & (columns < left + cutout)
        x = np.where(inside[:, :, None], np.int8(zero), x)
    return np.ascontiguousarray(x)
