"""Each row's samples in blocks of time, by which two runs can be compared (`report/noise.py`).

Blocks lie at whole multiples of their length on the swarm's clock, so those of all processes fall together
without a word between them, and merge exactly. When there are more than `MOST`, pairs are joined.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sioload.measure.packing import packed, unpacked
from sioload.plain import Json

#: Seconds of a block at first: samples leave their rows once a second.
SECONDS: Final = 1.0
#: Blocks of a run; after the first joining there are at least half as many.
MOST: Final = 40
#: Buckets are joined by four (2 bits): 32 to a doubling.
JOINED: Final = 2


class Block:
    """What a row counted in one span of time; one that is over is shut, and takes a tenth of the memory.

    Attributes:
        count: samples, with or without a time.
        failures: how many of them failed.
    """

    __slots__ = ("_open", "_shut", "count", "failures")

    def __init__(self, count: int = 0, failures: int = 0) -> None:
        self.count = count
        self.failures = failures
        self._open: dict[int, int] = {}
        self._shut: tuple[array[int], array[int]] | None = None

    @property
    def buckets(self) -> dict[int, int]:
        """Joined bucket to number of samples."""
        return self._open if self._shut is None else dict(zip(*self._shut, strict=True))

    def add(self, count: int, failures: int, buckets: Iterable[tuple[int, int]]) -> None:
        """Count samples, whose times lie in these joined buckets."""
        self.count += count
        self.failures += failures
        mine = self._open = self.buckets
        self._shut = None
        for i, n in buckets:
            mine[i] = mine.get(i, 0) + n

    def merge(self, other: Block) -> None:
        """Add what another counted."""
        self.add(other.count, other.failures, other.buckets.items())

    def shut(self) -> None:
        """Take little memory from now on, until more is added."""
        if self._shut is None:
            self._shut = array("H", self._open), array("Q", self._open.values())
            self._open = {}


class Blocks:
    """The blocks of all rows, in one process or in the swarm.

    Attributes:
        seconds: length of each.
        rows: type and name of a row to its blocks, by their number; those in which it counted something.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.seconds = SECONDS
        self.rows: dict[tuple[str, str], dict[int, Block]] = {}
        self._first = self._last = -1

    def add(
        self, at: float, type: str, name: str, *, count: int, failures: int, counts: Mapping[int, int]
    ) -> None:
        """Count samples.

        Args:
            at: when they came, on the swarm's clock.
            count, failures: of all of them.
            counts: fine bucket to number of samples, of those with a time.
        """
        number = self._reach(at)
        block = self.rows.setdefault((type, name), {}).setdefault(number, Block())
        block.add(count, failures, ((i >> JOINED, n) for i, n in counts.items()))

    def merge(self, other: Blocks) -> None:
        """Add those of another process, which may get longer by it."""
        if not other.rows:
            return
        while self.seconds < other.seconds:
            self._join()
        for number in (other._first, other._last):
            self._reach(number * other.seconds)
        while other.seconds < self.seconds:
            other._join()
        for key, blocks in other.rows.items():
            mine = self.rows.setdefault(key, {})
            for number, block in blocks.items():
                mine.setdefault(number, Block()).merge(block)

    def _reach(self, at: float) -> int:
        """The number of the block that a time lies in, for which there is room now."""
        number = int(at // self.seconds)
        self._first = number if self._last < 0 else min(self._first, number)
        if number > self._last:
            self._last = number
            for blocks in self.rows.values():
                for block in blocks.values():
                    block.shut()
        while self._last - self._first >= MOST:
            self._join()
        return int(at // self.seconds)

    @property
    def begin(self) -> float:
        """When the first block begins, on the swarm's clock."""
        return self._first * self.seconds

    @property
    def number(self) -> int:
        """How many there are."""
        return self._last - self._first + 1 if self.rows else 0

    def _join(self) -> None:
        self.seconds *= 2
        self._first >>= 1
        self._last >>= 1
        for key, blocks in self.rows.items():
            joined: dict[int, Block] = {}
            for number, block in blocks.items():
                known = joined.setdefault(number >> 1, block)
                if known is not block:
                    known.merge(block)
            self.rows[key] = joined

    def text(self, type: str, name: str) -> str:
        """The blocks of a row as text, which `blocks_of` reads; numbers count from the first of all rows."""
        return packed(_numbers(self.rows.get((type, name), {}), self._first))

    def encode(self) -> dict[str, Json]:
        """These blocks in plain values, for msgpack."""
        rows = [[type, name, self.text(type, name)] for type, name in self.rows]
        return {"seconds": self.seconds, "first": self._first, "last": self._last, "rows": rows}

    @classmethod
    def decode(cls, data: Mapping[str, Json]) -> Blocks:
        """The blocks that `encode` was called on."""
        found = cls()
        found.seconds, found._first, found._last = data["seconds"], data["first"], data["last"]
        for type, name, text in data["rows"]:
            mine = found.rows.setdefault((type, name), {})
            for number, block in blocks_of(text).items():
                mine.setdefault(found._first + number, Block()).merge(block)  # two names may have become one
        return found


def _numbers(blocks: Mapping[int, Block], first: int) -> Iterator[int]:
    """For each block the distance to the one before, its counts, and its buckets (how many, and `deltas`)."""
    before = first
    for number, block in sorted(blocks.items()):
        yield from (number - before, block.count, block.failures, len(block.buckets))
        before = number
        yield from deltas(block.buckets)


def deltas(buckets: Mapping[int, int]) -> Iterator[int]:
    """For each bucket the distance to the one before, and the count."""
    before = 0
    for i in sorted(buckets):
        yield i - before
        yield buckets[i]
        before = i


def buckets_of(numbers: Iterable[int]) -> dict[int, int]:
    """What `deltas` was given.

    Raises:
        ValueError: it is something else.
    """
    found: dict[int, int] = {}
    at = 0
    numbers = iter(numbers)
    for gap, n in zip(numbers, numbers, strict=True):
        at += gap
        found[at] = n
    return found


def blocks_of(text: str) -> dict[int, Block]:
    """Number to block, from what `Blocks.text` gave.

    Raises:
        ValueError: it is something else.
    """
    numbers = unpacked(text)
    found: dict[int, Block] = {}
    at = number = 0
    while at < len(numbers):
        if at + 4 > len(numbers):
            raise ValueError("blocks end in the middle of one")
        gap, count, failures, size = numbers[at : at + 4]
        number += gap
        at += 4
        buckets = buckets_of(numbers[at : at + 2 * size])
        if len(buckets) != size:
            raise ValueError("blocks end in the middle of one")
        block = found[number] = Block()
        block.add(count, failures, buckets.items())
        at += 2 * size
    return found
