"""What a collector of metrics was told so far: some want to hear only what came since (temporality delta)."""

from __future__ import annotations

from typing import Final

from sioload.measure.histogram import Histogram

_NO_TIMES: Final = Histogram()


class Told:
    """What a collector was told of a test so far. One that wants `delta` is told what came since, which
    includes what it didn't take.

    Attributes:
        delta: it wants that.
    """

    def __init__(self, delta: bool = False) -> None:
        self.delta = delta
        self._started = self._until = 0
        self._counts: tuple[dict[str, int], dict[str, int]] = {}, {}  # taken, and being told
        self._times: tuple[dict[str, Histogram], dict[str, Histogram]] = {}, {}

    def since(self, started: int) -> int:
        """More is to be told of the test in which counting began then; returns from when on."""
        fresh = started != self._started
        if fresh:
            self._started = self._until = started
        self._counts = {} if fresh else self._counts[0], {}
        self._times = {} if fresh else self._times[0], {}
        return self._until if self.delta else started

    def count(self, key: str, n: int) -> int:
        """A count, which stands at `n`, as it is to be told."""
        if not self.delta:
            return n
        self._counts[1][key] = n
        return n - self._counts[0].get(key, 0)

    def times(self, key: str, times: Histogram) -> Histogram:
        """Times as they are to be told."""
        if not self.delta:
            return times
        self._times[1][key] = times.copy()
        return times.since(self._times[0].get(key, _NO_TIMES))

    def taken(self, until: int) -> None:
        """It has what it was told until then."""
        self._until = until
        self._counts, self._times = (self._counts[1], {}), (self._times[1], {})
