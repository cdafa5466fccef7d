"""The swarm's clock: wall-clock seconds that never jump, shifted to the master's clock on workers."""

from __future__ import annotations

import time
from time import perf_counter

_base = time.time() - perf_counter()

#: The swarm's clock at `perf_counter() == 0`, in seconds since the Unix epoch.
zero = _base


def shift(seconds: float) -> None:
    """The master's clock is ahead of this process's own by so much."""
    global zero
    zero = _base + seconds


def unshifted() -> float:
    """Seconds since the Unix epoch in this process's own clock."""
    return _base + perf_counter()


def stamp() -> float:
    """A time stamp to put into a message, for `@on(..., sent_at=)` to measure its way: seconds, swarm clock.

    Servers that stamp by themselves give seconds since the Unix epoch (in JavaScript `Date.now() / 1000`).
    """
    return zero + perf_counter()
