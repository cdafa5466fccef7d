"""Who holds which row of a feed. Pure: it is told who asks, who returns, and who was lost.

Rows go round: those never used come first, in the feed's order, then those that were returned, first the one
that has been free for longest. So every row is used before any is used again.
"""

from __future__ import annotations

import random
from array import array
from collections import deque
from typing import Final, Literal, NamedTuple

Order = Literal["file", "shuffle"]
Emptiness = Literal["stop", "wait"]
ORDERS: Final = ("file", "shuffle")
EMPTINESSES: Final = ("stop", "wait")


class Holder(NamedTuple):
    """A user: the process that it runs in, and its number there, which no other user of that process has."""

    process: str
    number: int


class Grant(NamedTuple):
    """A row for somebody who waited for one."""

    holder: Holder
    row: int


class Leases:
    """The rows of one feed by number, each held by one user at most.

    Attributes:
        count: how many rows there are.
        most: the most that were held at a time.
        granted: how often a row was leased.
    """

    def __init__(
        self, count: int, order: Order = "file", when_empty: Emptiness = "stop", seed: int | None = None
    ):
        self.count = count
        self._shuffle = order == "shuffle"
        self._waits = when_empty == "wait"
        self._random = random.Random(seed)
        self._order = array("I", range(count)) if self._shuffle else None
        self._rows: dict[Holder, int] = {}
        self._waiting: dict[Holder, None] = {}
        self.begin()

    def begin(self) -> None:
        """A test starts: all rows are free again, from the first on, but for those that are still held."""
        self._fresh = 0
        self._returned: deque[int] = deque()
        self._before = set(self._rows.values())
        self._waiting.clear()
        self._turn = 0
        self.most = len(self._rows)
        self.granted = 0

    def holders(self, process: str) -> list[Holder]:
        """The users of a process that hold a row."""
        return [holder for holder in self._rows if holder.process == process]

    def awaits(self, holder: Holder) -> bool:
        """Whether a user waits for a row."""
        return holder in self._waiting

    def take(self, holder: Holder) -> int | None:
        """A row for a user, the one that it holds if it does; None without a free one.

        It waits then if the feed says so: a later call of `release` or `lose` grants it a row.
        """
        row = self._rows.get(holder)
        if row is not None:
            return row
        row = self._free()
        if row is not None:
            self._lease(holder, row)
        elif self._waits:
            self._waiting[holder] = None
        return row

    def next(self) -> int:
        """The next row in turn, to be shared."""
        if self._turn == self.count:
            self._turn = 0
        turn = self._turn
        self._turn += 1
        return self._drawn(turn)

    def release(self, holder: Holder) -> list[Grant]:
        """A user needs its row no longer, or no longer waits for one; who gets it instead. Repeatable."""
        self._waiting.pop(holder, None)
        row = self._rows.pop(holder, None)
        if row is None:
            return []
        self._returned.append(row)
        return self._serve()

    def lose(self, process: str) -> tuple[int, list[Grant]]:
        """The users of a process are gone, or are taken for gone: how many rows they held; who gets some."""
        held = self.holders(process)
        for holder in [holder for holder in self._waiting if holder.process == process]:
            del self._waiting[holder]
        self._returned.extend(self._rows.pop(holder) for holder in held)
        return len(held), self._serve()

    def _serve(self) -> list[Grant]:
        """Rows for those who wait, in the order in which they came."""
        grants = []
        while self._waiting:
            row = self._free()
            if row is None:
                break
            holder = next(iter(self._waiting))
            del self._waiting[holder]
            self._lease(holder, row)
            grants.append(Grant(holder, row))
        return grants

    def _lease(self, holder: Holder, row: int) -> None:
        self._rows[holder] = row
        self.granted += 1
        self.most = max(self.most, len(self._rows))

    def _free(self) -> int | None:
        while self._fresh < self.count:
            row = self._drawn(self._fresh)
            self._fresh += 1
            if row not in self._before:  # it is held since before this test, or was returned in it
                return row
        return self._returned.popleft() if self._returned else None

    def _drawn(self, place: int) -> int:
        """The row at a place of the order. A shuffled one is drawn as it is needed (Fisher and Yates)."""
        if self._order is None:
            return place
        other = self._random.randrange(place, self.count)
        order = self._order
        order[place], order[other] = order[other], order[place]
        return order[place]
