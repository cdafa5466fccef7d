"""Where a run is cut: at its phases, at the parts that checks ask for, at marks of a search or a drill."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import gevent

from sioload.load.phases import Plan
from sioload.load.shapes import SessionPhases, UserPhases
from sioload.net import clock
from sioload.report.checks import Check
from sioload.report.course import Course, Span
from sioload.report.figures import Figures
from sioload.report.windows import Windows

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds between two looks whether a run goes on.
LOOK: Final = 0.2


class Run(Protocol):
    """A run as a search for capacity or a drill sees it, which goes on in it.

    Attributes:
        running: its users haven't been told to stop.
        timeline: where it is cut.
    """

    running: bool
    timeline: Timeline

    def figures(self) -> Figures:
        """All that was counted."""


def goes_on(run: Run, until: float) -> bool:
    """Wait until then (swarm clock); False, and at once, if the run ends before."""
    while run.running and (left := until - clock.stamp()) > 0:
        gevent.sleep(min(left, LOOK))
    return run.running


class Timeline:
    """The course of the runs of one process, one after the other.

    Attributes:
        course: that of the newest.
    """

    def __init__(
        self,
        environment: Environment,
        checks: Sequence[Check],
        windows: Windows,
        marked: Callable[[], None],
    ) -> None:
        """
        Args:
            environment: Locust's.
            checks: those of the run.
            windows: what figures are cut into.
            marked: tells the processes that run users of the boundaries.
        """
        self.course = Course(clock.stamp())
        self._environment = environment
        self._checks = checks
        self._windows = windows
        self._marked = marked
        self._telling: gevent.Greenlet[..., None] | None = None

    def begin(self) -> None:
        """A test starts."""
        self.end()
        self.course = Course(clock.stamp())
        shape = self._environment.shape_class
        if isinstance(shape, UserPhases | SessionPhases):
            shape.begun = self._phases_begin
        if isinstance(shape, UserPhases):
            shape.begin()
        self._set()

    def end(self) -> None:
        """The users stop: no phase begins any more."""
        if self._telling is not None:
            self._telling.kill(block=False)
            self._telling = None

    def forget(self, going: bool) -> None:
        """Counting begins anew; `going`: in a test that goes on."""
        self.course = replace(self.course, started=clock.stamp())
        if going:
            self._set()

    def mark(self, times: Sequence[float]) -> None:
        """Cut the run there."""
        self._windows.mark(times, self.course.started)
        self._marked()

    def set_boundary(self, at: float, *, changes: bool) -> None:
        """Cut the run there, and let every pace begin anew; `changes`: the load changes then."""
        self.course = replace(self.course, fresh={**self.course.fresh, at: changes})
        self._set()

    def _set(self) -> None:
        """Set the boundaries of phases and of checks."""
        times = self.course.boundaries(self._checks)
        if times:
            self.mark(times)

    def _phases_begin(self, origin: float) -> None:
        """The first phase begins (`perf_counter`)."""
        plan: Plan = self._environment.shape_class.plan  # type: ignore[union-attr]
        starts = [clock.zero + origin + start for start in plan.starts]
        most = [None if plan.per_second else round(max(each.begin, each.end)) for each in plan.phases]
        names = [each.name for each in plan.phases]
        texts = str(plan).split("; ")
        level = [each.level for each in plan.phases]
        spans = list(map(Span, names, starts, starts[1:], most, texts, level))
        self.course = replace(self.course, spans=spans)
        self._telling = gevent.spawn(self._tell, spans)
        self._set()

    def _tell(self, spans: Sequence[Span]) -> None:
        """Say when each phase begins."""
        for number, span in enumerate(spans, 1):
            gevent.sleep(max(0.0, span.begin - clock.stamp()))
            logger.info("sioload: phase %d of %d: %s", number, len(spans), span.text)
