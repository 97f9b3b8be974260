"""How much of its memory a session touches."""

from __future__ import annotations

from typing import Any

import engine as E
import numpy as np


def high_water(session: E.Session, step: Any) -> int:
    """Bytes of the block up to the last one that init and a step touch, by two different fills."""
    touched = 0
    for fill in (0xA5, 0x5A):
        other = E.Session(session.plan, seed=3, lr=0.01, fill=fill)
        step(other)
        assert other.guards_intact()
        changed = np.flatnonzero(other.block != fill)
        touched = max(touched, int(changed[-1]) + 1)
    return touched
