"""Receivers that fell silent behind others of their stream, over the whole swarm.

A delivery check can't tell a receiver whose pushes stopped for good from one that wasn't sent any more: after
its last number nothing is owed. But where receivers share a stream, others show how far it went. A receiver
is behind when it has got nothing for `SILENT` seconds, though somebody had got a higher number before those
began. Each process tells of a stream the number that it had reached by then, and the last numbers of its
silent receivers, counted; the highest and the sums of these are the swarm's, in whatever order they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

#: Seconds without a push after which a receiver may be behind.
SILENT: Final = 2.0
#: Streams of one name that are compared, and different last numbers of silent receivers in one of them.
COMPARED: Final = 1000


class Reached:
    """How far one stream had come, as one process saw it.

    Attributes:
        digest: names the stream in all processes.
    """

    __slots__ = ("_steps", "digest")

    def __init__(self, name: str, stream: Hashable) -> None:
        text = repr((name, stream)).encode("utf-8", "surrogatepass")
        self.digest = int.from_bytes(blake2b(text, digest_size=8).digest())
        self._steps: deque[tuple[float, int]] = deque()

    def feed(self, now: float, highest: int) -> None:
        """At `now`, somebody has got this number."""
        steps = self._steps
        if not steps or highest > steps[-1][1]:
            steps.append((now, highest))
        while len(steps) > 1 and steps[1][0] <= now - SILENT:
            steps.popleft()

    def before(self, now: float) -> int | None:
        """The highest number that had been got `SILENT` seconds ago."""
        at, highest = self._steps[0]
        return highest if at <= now - SILENT else None


class Comparison:
    """Streams by name and digest, with what they had reached and the last numbers of silent receivers."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: dict[str, dict[int, tuple[int, dict[int, int]]]] = {}

    def add(self, name: str, digest: int, reached: int, silent: Mapping[int, int]) -> None:
        """What one process saw of a stream."""
        streams = self._streams.setdefault(name, {})
        known, counts = streams.get(digest, (reached, {}))
        for number, receivers in silent.items():
            counts[number] = counts.get(number, 0) + receivers
        streams[digest] = (max(known, reached), counts)

    def behind(self, name: str) -> int:
        """How many receivers of streams of this name are behind."""
        return sum(
            receivers
            for reached, counts in _lowest(self._streams.get(name, {})).values()
            for number, receivers in _lowest(counts).items()
            if number < reached
        )

    def encode(self) -> dict[str, list[Any]]:
        """Plain values, for msgpack: no more of them than are compared."""
        return {
            name: [[digest, reached, _lowest(counts)] for digest, (reached, counts) in _lowest(found).items()]
            for name, found in self._streams.items()
        }

    def merge(self, data: Mapping[str, Iterable[Any]]) -> None:
        """Add what another process's `encode` gave."""
        for name, streams in data.items():
            for digest, reached, silent in streams:
                self.add(name, digest, reached, silent)


def _lowest(found: dict[int, Any]) -> dict[int, Any]:
    """The entries with the lowest keys: a choice that is the same before and after merging."""
    return found if len(found) <= COMPARED else {key: found[key] for key in sorted(found)[:COMPARED]}
