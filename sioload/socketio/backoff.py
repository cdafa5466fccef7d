"""How long to wait before the next attempt to reconnect, as the JavaScript client does it."""

from __future__ import annotations

from collections.abc import Callable
from random import random


def backoff(
    attempt: int, first: float, most: float, jitter: float, rand: Callable[[], float] = random
) -> float:
    """Seconds before attempt number `attempt` (from 0).

    `first * 2 ** attempt`, moved by up to `jitter` of itself in either direction, and never above `most`.
    Source: socket.io-client, `Backoff.duration`.
    """
    seconds = first * 2.0 ** min(attempt, 64)
    if jitter:
        draw = rand()
        deviation = draw * jitter * seconds
        seconds = seconds - deviation if int(draw * 10) & 1 == 0 else seconds + deviation
    return min(seconds, most)
