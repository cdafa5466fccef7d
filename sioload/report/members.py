"""How many members were in a room without a break, as one process told of it."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

#: Steps of a room's function that are over, and may stay until there are more.
_SPENT: Final = 16


class Steps:
    """How many members were in a room without a break: from each time on, a count."""

    __slots__ = ("_counts", "_times")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._counts: list[int] = []

    def add(self, at: float, count: int, floor: float) -> None:
        """From `at` on it is `count`. Nobody asks for times before `floor`."""
        self._times.append(max(at, self._times[-1]) if self._times else at)
        self._counts.append(count)
        spent = bisect_right(self._times, floor) - 1
        if spent > _SPENT:
            del self._times[:spent]
            del self._counts[:spent]

    def at(self, time: float) -> int:
        """The count at a time."""
        found = bisect_right(self._times, time)
        return self._counts[found - 1] if found else 0

    def over(self, floor: float) -> bool:
        """Whether nobody is in the room any more, nor was after `floor`."""
        return self._counts[-1] == 0 and self._times[-1] <= floor
