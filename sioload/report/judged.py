"""Messages whose audience was judged, so that what comes of them later is known as late."""

from __future__ import annotations

import math
from array import array
from typing import Final

#: Judged messages that are remembered at most, and for how many times the grace.
REMEMBERED: Final = 100_000
MEMORY: Final = 10
#: Places in a table for half of them: so many more that few share one.
_PLACES: Final = 1 << 17
_NOBODY: Final = bytes(4096)


class _Table:
    """Some judged messages by their hash, and when they first came.

    Attributes:
        begun: when the first of them first came.
        number: how many there are.
    """

    __slots__ = ("_hashes", "_times", "begun", "number")

    def __init__(self) -> None:
        self.begun = math.inf
        self.number = 0
        self._hashes = array("q", [0]) * _PLACES  # 0: nobody is here
        self._times = array("d", [0.0]) * _PLACES

    def clear(self, begun: float) -> None:
        """Forget them. It takes no other memory, which would come and go with each time."""
        self.begun, self.number = begun, 0
        held = memoryview(self._hashes).cast("B")
        for at in range(0, len(held), len(_NOBODY)):
            held[at : at + len(_NOBODY)] = _NOBODY

    def _place(self, hashed: int) -> int:
        """Where it is, or would be: the first free place from its own on."""
        place = hashed % _PLACES
        while self._hashes[place] not in (hashed, 0):
            place = (place + 1) % _PLACES
        return place

    def first(self, hashed: int) -> float:
        place = self._place(hashed)
        return self._times[place] if self._hashes[place] else -math.inf

    def put(self, hashed: int, first: float) -> None:
        place = self._place(hashed)
        self.number += not self._hashes[place]
        self._hashes[place], self._times[place] = hashed, first


class Judged:
    """The judged messages of a swarm, forgotten by halves.

    They are as many objects as last longest on a master, among millions that come and go, and would keep
    memory from being given back. So there are none: two tables of constant size hold hashes of 64 bits, by
    which one message in 10 ** 14 is taken for another.
    """

    def __init__(self) -> None:
        self._tables: list[_Table] = []  # the newer first

    def first(self, key: tuple[str, str, str]) -> float:
        """When a message first came; minus infinity if it isn't remembered."""
        hashed = hash(key) or 1
        return max((table.first(hashed) for table in self._tables), default=-math.inf)

    def add(self, key: tuple[str, str, str], first: float, grace: float) -> None:
        """A message that first came then was judged."""
        tables = self._tables
        if not tables or tables[0].number >= REMEMBERED // 2 or first > tables[0].begun + MEMORY * grace:
            fresh = tables.pop() if len(tables) == 2 else _Table()
            fresh.clear(first)
            tables.insert(0, fresh)
        tables[0].put(hash(key) or 1, first)
