"""Requests that a script fires on the master, where no users run: of a greenlet that watches a queue, say.

Locust counts them in its tables like those of users. Here the master is one more process of the swarm for
them, once there are any, with rows and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sioload.measure.recorder import Recorder
from sioload.net.clock import stamp
from sioload.plain import Json
from sioload.report.merge import MASTER, Swarm
from sioload.swarm.cutter import Cutter
from sioload.swarm.foreign import ForeignRequests

if TYPE_CHECKING:
    from locust.env import Environment


class OwnRequests:
    """Counts them, and cuts what was counted where workers cut theirs."""

    def __init__(self, environment: Environment, swarm: Swarm) -> None:
        self._swarm = swarm
        self._recorder = Recorder(MASTER)
        self._cutter = Cutter(self._recorder, lambda: None, self._cut)
        self._seq = self._count = 0
        ForeignRequests(environment, self._recorder)

    def begin(self) -> None:
        """A test starts."""
        self._cutter.begin()

    def forget(self) -> None:
        """Everything counted is forgotten."""
        self._recorder.reset()
        self._cutter.forget()
        self._count = 0

    def know(self, marks: Iterable[float]) -> None:
        """Hear of the boundaries of the test, maybe again."""
        self._cutter.know(marks, (), ())

    def end(self) -> None:
        """The users stop: there is no boundary after this."""
        self._cutter.end()

    def gather(self, *, last: bool = False) -> None:
        """Put what was counted into the swarm, if there is more of it; `last`: no more will come."""
        self._recorder.take(stamp())
        count = sum(row.count for row in self._recorder.totals())
        epoch = self._recorder.epoch
        if count > self._count:
            self._count = count
            self._seq += 1
            marks = self._cutter.marks
            while cuts := marks.unsent():
                for cut in cuts:
                    self._swarm.take_cut(MASTER, epoch, cut)
                marks.confirmed([cut["mark"] for cut in cuts])
            self._swarm.take(MASTER, self._recorder.snapshot(self._seq))
        if last and count:
            self._swarm.take_blocks(MASTER, epoch, self._recorder.blocks.encode())

    def _cut(self, cut: dict[str, Json]) -> None:
        """A boundary. While nothing is fired here, nobody waits for this process."""
        if self._count:
            self._cutter.marks.confirmed([cut["mark"]])
            self._swarm.take_cut(MASTER, self._recorder.epoch, cut)
