"""Load that a search sets level by level: shapes for Locust, of users or of sessions per second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter
from typing import ClassVar

from gevent.event import Event
from locust import LoadTestShape
from locust.runners import Runner

from sioload.load.arrivals import Arrivals, Shape


class UserLevels(Shape):
    """A number of simulated users, by Locust's own dispatcher.

    Attributes:
        seen: Locust has asked since the level was set.
    """

    abstract: ClassVar[bool] = False
    seen = False

    def __init__(self, spawn_rate: float | None, seconds: float) -> None:
        """
        Args:
            spawn_rate: users per second by which a higher level is reached; None to reach it in `seconds`.
            seconds: see there.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._spawn_rate = spawn_rate
        self._seconds = seconds
        self._asked: tuple[int, float] | None = (0, 1.0)

    def level(self, load: int) -> float:
        """Keep so many users from when Locust asks next; returns the seconds until all of them have begun."""
        self.seen = False
        before = self._asked[0] if self._asked is not None else 0
        more = load - before
        if more > 0:
            rate = self._spawn_rate or max(1.0, more / self._seconds)
            self._asked = (load, rate)
            return more / rate
        self._asked = (load, max(1.0, -more))
        return 0.0

    def end(self) -> None:
        """The run ends."""
        self._asked = None

    def tick(self) -> tuple[int, float] | None:
        """Locust asks each second how many users it shall keep."""
        self.seen = True
        return self._asked


class SessionLevels(Arrivals):
    """Sessions that begin at a rate, by the engine of `Arrivals`; as `UserLevels` to whoever sets levels."""

    abstract: ClassVar[bool] = False
    seen = True

    def __init__(self, length: float) -> None:
        """
        Args:
            length: seconds of a session; infinite until the script ends it.
        """
        LoadTestShape.__init__(self)  # type: ignore[no-untyped-call]  # it has no rate of its own
        self._length = length
        self._now = 0
        self._set = Event()
        self._over = False
        self._origin = 0.0

    def level(self, load: int) -> float:
        """Begin so many sessions per second from now on; returns the seconds until it is so: none."""
        self._now = load
        self._set.set()
        return 0.0

    def end(self) -> None:
        """The run ends."""
        self._over = True

    def length(self) -> float:
        """As it was given."""
        return self._length

    def duration_of(self, runner: Runner) -> float:
        """Until the search is over."""
        return math.inf

    def arrivals_begin(self, origin: float) -> None:
        """Times of sessions count from here."""
        self._origin = origin

    def slots(self) -> Iterator[float]:
        """When each session begins. A level that begins owes nothing of the one before; at 0 none does."""
        at = 0.0
        while True:
            if self._set.is_set():
                self._set.clear()
                at = perf_counter() - self._origin
            if self._now:
                yield at
                at += 1 / self._now if self._now else 0.0
            else:
                self._set.wait()

    def tick(self) -> tuple[int, float] | None:
        """Locust asks each second how many users it shall keep: none, as they come and go by themselves."""
        asked = super().tick()
        return None if self._over else asked
