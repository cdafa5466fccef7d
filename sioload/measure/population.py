"""The simulated users of one process or of the swarm, and what their tasks raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sioload.measure.names import counted_since
from sioload.plain import Json

#: Distinct exceptions that are told apart; further ones are counted under `OTHER`.
MAX_KINDS: Final = 50
OTHER: Final = ("(others)", "")
_COUNTS: Final = ("now", "peak", "high", "stopped", "ended", "left", "begun", "connected")


class Population:
    """Counts of users, and of exceptions.

    Attributes:
        now: users that live.
        peak: the most that lived at a time. Who never got through its `on_start` isn't among them.
        ended: users that died before they were told to stop: of an exception, or for want of a connection.
        left: users that left by themselves (StopUser).
        begun: users that began to live.
        connected: users that had a session, or had had one and left it, when a level of a search for capacity
            last began or ended.
        high: the same as `peak` since the last boundary of the run; see `cut`.
        stopped: users that lived when they were told to stop; None before.
        exceptions: kind and place to how often, and the first one's message.
        classes: the same counts for each class of users, by its name.
    """

    __slots__ = (
        "_highed", "_peaked", "_spawned", "begun", "classes", "connected", "ended", "exceptions", "high",
        "left", "now", "peak", "stopped",
    )  # fmt: skip

    def __init__(self) -> None:
        self.now = 0
        self._spawned = 0
        self.classes: dict[str, Population] = {}
        self.reset()

    def reset(self) -> None:
        """A run begins."""
        self.peak = self.high = self.now
        self.stopped: int | None = None
        self._peaked = self._highed = self._spawned
        self.ended = self.left = self.begun = self.connected = 0
        self.exceptions: dict[tuple[str, str], tuple[int, str]] = {}
        self.classes = {name: counts for name, counts in self.classes.items() if counts.now}
        for counts in self.classes.values():
            counts.reset()

    def of(self, name: str) -> Population:
        """The counts of one class of users."""
        counts = self.classes.get(name)
        if counts is None:
            counts = self.classes[name] = Population()
        return counts

    def spawned(self) -> int:
        """One more lives; returns its number."""
        self._spawned += 1
        self.begun += 1
        self.now += 1
        if self.now > self.peak:
            self.peak = self.now
            self._peaked = self._spawned
        if self.now > self.high:
            self.high = self.now
            self._highed = self._spawned
        return self._spawned

    def gone(self, number: int, *, began: bool) -> None:
        """The user of this number lives no more; `began`: it had got through its `on_start`."""
        self.now -= 1
        if not began and number <= self._peaked:
            self.peak -= 1
        if not began and number <= self._highed:
            self.high -= 1

    def cut(self) -> None:
        """A boundary of the run: the most users at a time are counted anew."""
        self.high = self.now
        self._highed = self._spawned

    def since(self, earlier: Population) -> Population:
        """What happened after `earlier`, a former state of these; `peak` is the most since the last cut."""
        fresh = Population()
        fresh.now, fresh.peak, fresh.high, fresh.stopped = self.now, self.high, self.high, self.stopped
        fresh.connected = self.connected
        for name in ("ended", "left", "begun"):
            setattr(fresh, name, getattr(self, name) - getattr(earlier, name))
        now, then = ({key: n for key, (n, _) in each.exceptions.items()} for each in (self, earlier))
        for key, more in counted_since(now, then, OTHER).items():
            fresh.exceptions[key] = (more, self.exceptions[key][1])
        return fresh

    def raised(self, kind: str, place: str, message: str, count: int = 1) -> None:
        """A task or an `on_start` raised."""
        key = (kind, place)
        if key not in self.exceptions and len(self.exceptions) >= MAX_KINDS:
            key, message = OTHER, ""
        known, first = self.exceptions.get(key, (0, message))
        self.exceptions[key] = (known + count, first)

    def merge(self, other: Population) -> None:
        """Add the users of another process. The peaks add up, though they may not have been at one time."""
        self.now += other.now
        self.peak += other.peak
        self.high += other.high
        if other.stopped is not None:
            self.stopped = (self.stopped or 0) + other.stopped
        self.ended += other.ended
        self.left += other.left
        self.begun += other.begun
        self.connected += other.connected
        for (kind, place), (count, message) in other.exceptions.items():
            self.raised(kind, place, message, count)
        for name, counts in other.classes.items():
            self.of(name).merge(counts)

    def encode(self) -> dict[str, Json]:
        """Plain values, for msgpack."""
        raised = [[*key, *value] for key, value in self.exceptions.items()]
        classes = {name: counts.encode() for name, counts in self.classes.items()}
        return {**{name: getattr(self, name) for name in _COUNTS}, "raised": raised, "classes": classes}

    @classmethod
    def decode(cls, data: Mapping[str, Json]) -> Population:
        """The counts that `encode` was called on."""
        found = cls()
        for name in _COUNTS:
            setattr(found, name, data[name])
        found.exceptions = {(kind, place): (count, text) for kind, place, count, text in data["raised"]}
        found.classes = {name: cls.decode(counts) for name, counts in data["classes"].items()}
        return found
