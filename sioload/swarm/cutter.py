"""Cuts this process's figures at the boundaries of the run, each at one instant of the swarm's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final

import gevent
from gevent.event import Event

from sioload.measure.marks import Marks
from sioload.measure.recorder import Recorder
from sioload.net import clock
from sioload.net.clock import stamp
from sioload.plain import Json

#: Seconds after which a wait is measured anew: the clock may have learnt better.
STEP: Final = 0.2


class Cutter:
    """Waits for each boundary, and takes a snapshot there.

    Attributes:
        marks: boundaries, and cuts that the master may not have.
        ramps: when the number of users changes: from a boundary, until when.
        fresh: boundaries at which every pace begins anew.
    """

    def __init__(
        self, recorder: Recorder, renew: Callable[[], None], taken: Callable[[dict[str, Json]], None]
    ) -> None:
        """
        Args:
            recorder: whose figures are cut.
            renew: called before a cut where every pace begins anew.
            taken: gets each cut, in a greenlet.
        """
        self.marks = Marks()
        self.ramps: dict[float, float] = {}
        self.fresh: set[float] = set()
        self._recorder = recorder
        self._renew = renew
        self._taken = taken
        self._began = perf_counter()
        self._more = Event()
        gevent.spawn(self._wait)

    def begin(self) -> None:
        """A run begins."""
        self.ramps.clear()
        self.fresh.clear()
        self._began = perf_counter()
        self.marks.begin(stamp())

    def forget(self) -> None:
        """All that was counted was forgotten."""
        self._began = perf_counter()
        self.marks.forget(stamp())

    def know(
        self, times: Iterable[float], ramps: Iterable[tuple[float, float]], fresh: Iterable[float]
    ) -> None:
        """Hear of the boundaries of the run that goes on, maybe again."""
        self.ramps.update(ramps)
        self.fresh.update(fresh)
        self.marks.began = clock.zero + self._began  # a worker that joins late learns the swarm's clock later
        self.marks.know(times)
        self._more.set()

    def changing(self) -> bool:
        """Whether the plan changes the number of users now."""
        now = stamp()
        return any(begin <= now < until for begin, until in self.ramps.items())

    def end(self) -> None:
        """The users stop: there is no boundary after this."""
        self._cut()
        self.marks.end()

    def _cut(self) -> float | None:
        """Cut where that is due; returns how long it is to the next boundary, None if there is none."""
        while (at := self.marks.next) is not None:
            now = stamp()
            if at > now:
                return at - now
            if at in self.fresh:
                self._renew()
            snapshot = self._recorder.snapshot(0)
            self._recorder.population.cut()
            self._taken(self.marks.cut(now, snapshot))
        return None

    def _wait(self) -> None:
        while True:
            left = self._cut()
            self._more.clear()
            self._more.wait(None if left is None else min(left, STEP))  # a nearer one may come
