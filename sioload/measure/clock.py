"""One clock for the swarm, so that a push stamped in one process can be timed in another.

A stamp is seconds since the epoch on the master's clock, as a float. Every process reads its own monotonic
clock and adds an offset; a step of its wall clock therefore changes nothing. Workers estimate their offset
from round trips to the master: it can't have answered before it was asked, nor can the answer have come
before it was given, which bounds the offset from both sides. The bounds of several round trips are
intersected, each widened by what the two clocks may have drifted apart since.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

#: How much two clocks may drift apart, in seconds per second; time daemons slew faster only when they step.
DRIFT: Final = 100e-6
#: Round trips that are remembered, and for how long, in seconds.
_KEPT: Final = 64
_KEPT_SECONDS: Final = 120.0
#: Seconds ahead or back from which a stamp can't be of this swarm's clock (milliseconds, for instance).
AHEAD: Final = 60.0
BACK: Final = 86_400.0


class ClockOffset:
    """The offset between two clocks, from round trips; what to add to one's own to get the other's."""

    __slots__ = ("_trips",)

    def __init__(self) -> None:
        self._trips: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)

    def feed(self, t0: float, t1: float, t2: float, t3: float) -> bool:
        """A round trip.

        Args:
            t0: sent, on the own clock.
            t1: received by the other side, on its clock.
            t2: answered by the other side, on its clock.
            t3: the answer received, on the own clock.

        Returns:
            Whether it was possible; a round trip that ended before it began, on either clock, is ignored.
        """
        if t3 < t0 or t2 < t1 or t2 - t1 > t3 - t0:
            return False
        self._trips.append((t3, t2 - t3, t1 - t0))
        return True

    def estimate(self, now: float) -> tuple[float, float] | None:
        """Offset and its error bound in seconds, at `now` on the own clock; None before the first round trip.

        The true offset lies within the bound as long as the clocks drift no faster than `DRIFT`. A round trip
        that contradicts newer ones (a clock was stepped) is forgotten with all before it.
        """
        low, high = -math.inf, math.inf
        for used, (at, trip_low, trip_high) in enumerate(reversed(self._trips)):
            drift = DRIFT * max(0.0, now - at)
            new_low, new_high = max(low, trip_low - drift), min(high, trip_high + drift)
            if used and (new_low > new_high or now - at > _KEPT_SECONDS):
                for _ in range(len(self._trips) - used):
                    self._trips.popleft()
                break
            low, high = new_low, new_high
        if not self._trips:
            return None
        return (low + high) / 2, (high - low) / 2


def misfit(late: float) -> str:
    """What is wrong with a stamp from which so many seconds passed: not in `-AHEAD` to `BACK`."""
    how = "more than a day back" if late > BACK else "more than a minute ahead" if late < 0 else "no number"
    return f"the stamp is {how}: it must be seconds since 1970 (Date.now() / 1000)"
