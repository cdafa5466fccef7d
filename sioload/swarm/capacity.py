"""A search for what a server holds: levels, one after the other, as parts of one run.

`load/search.py` says which level comes next. Here each is set, settled, cut out of the run and judged. A
level after one that failed begins with nobody there: its users are gone and all they had begun has ended, for
a queue that is left in the server would be taken for the fault of the next level.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from locust.runners import MasterRunner, WorkerRunner

from sioload.durations import seconds_of
from sioload.errors import UsageError
from sioload.load.arrivals import Arrivals
from sioload.load.levels import SessionLevels, UserLevels
from sioload.load.search import Answer, Level, Search, Step
from sioload.load.shapes import Phases, length_of
from sioload.measure.health import LIMITED, judge
from sioload.measure.rooms import GRACE
from sioload.net import clock
from sioload.plain import Json
from sioload.report import capacity
from sioload.report.capacity import VARIABLE, Asked
from sioload.report.checks import Check
from sioload.report.evaluation import CheckResult, evaluate
from sioload.report.figures import Figures, Window, between
from sioload.report.heard import TYPE
from sioload.report.summary import lenient
from sioload.swarm import describe
from sioload.swarm.options import checks_of
from sioload.swarm.timeline import LOOK, Run, goes_on

if TYPE_CHECKING:
    from locust.env import Environment

#: How often its settling may take after a level that failed.
PATIENT: Final = 6
#: Seconds by which boundaries are announced at least, to workers and in this process.
AHEAD: Final = 0.5
HERE: Final = 0.05
#: Seconds that a boundary waits for the cuts of workers.
CUTS: Final = 10.0
#: Seconds until it is asked again whether all users are in.
AGAIN: Final = 1.0
#: Options of Locust whose place a search takes; a project's locust.conf may have them.
_TAKEN: Final = ("num_users", "run_time", "reset_stats", "sio_phases")

#: Prints lines of levels; the live line makes room for it.
table = logging.getLogger("sioload.capacity")


class _Ended(Exception):
    """The run ends, and not by the search."""


class _SpentError(Exception):
    """A level that took long to settle doesn't fit into the budget any more."""


class Capacity:
    """The search of a run."""

    def __init__(
        self,
        environment: Environment,
        asked: Asked,
        shape: UserLevels | SessionLevels,
        checks: Sequence[Check],
    ) -> None:
        """
        Args:
            environment: Locust's.
            asked: what is looked for; settled for at least the length of a session.
            shape: sets the load.
            checks: tell whether a level held.
        """
        self._environment = environment
        self._asked = asked
        self._shape = shape
        self._checks = checks
        grace: float = getattr(environment.parsed_options, "sio_grace", GRACE)
        self._hearing = 2 * grace if any(each.selector == TYPE for each in checks) else 0.0
        self._search = Search(asked.first, asked.last, asked.within)
        self._levels: list[Level] = []
        self._told: list[dict[str, Json]] = []
        self._answer: Answer | None = None
        self._since = -math.inf
        self._over = math.inf
        self._now: tuple[str, float] | None = None

    def run(self, run: Run) -> None:
        """Search, and end the run."""
        try:
            with contextlib.suppress(_Ended):
                self._answer = self._find(run)
        finally:
            self._now = None
            self._shape.end()

    @property
    def answer(self) -> Answer:
        """What came out, or is known if it ends now."""
        return self._answer or self._search.ended(self._levels, "interrupted")

    @property
    def limited(self) -> bool:
        """Whether the generator ended it."""
        return self.answer.reason == "generator"

    @property
    def phase(self) -> tuple[str, float] | None:
        """The level that is on, and the seconds until it is over, about."""
        return self._now and (self._now[0], max(0.0, self._now[1] - clock.stamp()))

    def results(self) -> list[CheckResult]:
        """What was expected of the number."""
        asked = self._asked
        return [capacity.met(asked.expect, self.answer.holds, asked.unit)] if asked.expect else []

    def document(self) -> dict[str, Json]:
        """What a report says of it."""
        answer = self.answer
        return capacity.document(
            self._asked,
            self._told,
            holds=answer.holds,
            breaks=answer.breaks,
            reason=answer.reason,
            confirmed=answer.confirmed,
        )

    def _find(self, run: Run) -> Answer:
        self._over = clock.stamp() + self._asked.budget
        table.info(capacity.head(self._asked))
        try:
            while isinstance(step := self._search.following(self._levels), Step):
                self._must_fit(self._asked.settle + self._seconds(step))
                self._measure(run, step)
        except _SpentError:
            return self._search.ended(self._levels, "budget")
        return step

    def _must_fit(self, seconds: float) -> None:
        """The budget must have so much left, but for the first level."""
        if self._levels and clock.stamp() + seconds + self._hearing > self._over:
            raise _SpentError

    def _seconds(self, step: Step) -> float:
        return self._asked.step * (2 if step.long else 1)

    def _named(self, step: Step) -> str:
        """A level in the few columns of the live line."""
        return f"{step.load}/s" if self._asked.arrivals else capacity.so_many(step.load, "users")

    def _measure(self, run: Run, step: Step) -> None:
        """Set a level, let it settle, measure it if it is reached, and judge it."""
        unmet = self._unmet()
        at, figures, reached = self._settled(run, step)
        inside = _window(figures, at).figures().population
        results, end, since = [reached], at, self._since
        if reached.ok:
            end, since = max(at + self._seconds(step), clock.stamp() + self._ahead), at
            self._now = (self._named(step), end)
            figures = self._heard(run, end, self._cut(run, end, changes=True))
            part = between(figures, since, end)
            assert part is not None
            seconds, peak = end - since, part.population.peak
            results = [evaluate(each, part, duration=seconds, peak_users=peak) for each in self._checks]
            users = part.population
            if self._asked.arrivals and not (alive := capacity.lived(users.begun, users.ended)).ok:
                results.append(alive)
        else:
            part = between(figures, since, end)
            assert part is not None
            seconds = end - max(since, run.timeline.course.started)
        self._since = end
        health = judge(_window(figures, end).health)
        meant = describe.paced(self._environment, figures) or any(each.about_time for each in self._checks)
        limited = bool(figures.lost) or (meant and health["verdict"] == LIMITED)
        lacked = [*capacity.without_rows(unmet, self._unmet()), *capacity.undialled(part)]
        lacked = lacked if capacity.unconnected(results) else []
        limited = limited or bool(lacked)
        told = capacity.level_of(
            part, results, load=step.load, users=inside.now, connected=inside.connected, seconds=seconds,
            health=health, limited=limited, lacked=lacked, long=step.long,
            began=end - seconds - run.timeline.course.started,
        )  # fmt: skip
        held = not any(result.failed for result in results)
        narrow = not held and capacity.narrowly(results)
        self._levels.append(Level(step.load, held, told["answers_per_s"], narrow, limited, step.long))
        self._told.append(told)
        for line in capacity.lines(told):
            table.info(line)

    def _unmet(self) -> dict[str, int]:
        """How often users found no row of a feed free."""
        part: Any = getattr(self._environment, "sioload_part", None)
        return {} if part is None else dict(part.desk.stock.unmet)

    def _settled(self, run: Run, step: Step) -> tuple[float, Figures, CheckResult]:
        """Set a level; returns the boundary from which it can be measured, and whether it is reached."""
        latest = clock.stamp() + PATIENT * self._asked.settle
        broken = bool(self._levels) and not self._levels[-1].held
        if broken:
            self._empty(run, latest, self._asked.settle + self._seconds(step))
        rising = self._shape.level(step.load)
        while not self._shape.seen:
            self._wait(run, clock.stamp() + LOOK / 4)
        at = clock.stamp() + max(self._asked.settle, rising + self._asked.settle / 2)
        while True:
            self._now = (f"{self._named(step)} settle", at)
            figures = self._cut(run, at, changes=False)
            users = _window(figures, at).figures().population
            arrivals = self._asked.arrivals
            reached = capacity.connected(
                step.load, users.now, users.connected, arrivals=arrivals, died=users.ended
            )
            at, before = clock.stamp() + AGAIN, at
            if reached.ok or not broken or at > latest:
                return before, figures, reached
            self._must_fit(AGAIN + self._seconds(step))

    def _empty(self, run: Run, latest: float, needed: float) -> None:
        """Let users go, and wait until nothing that they began is open; what comes then needs its time."""
        self._shape.level(0)
        self._now = ("emptying", latest)
        while clock.stamp() < latest:
            self._wait(run, clock.stamp() + LOOK)
            figures = run.figures()
            if not figures.population.now and not figures.ledger.open:
                return
            self._must_fit(needed)

    @property
    def _ahead(self) -> float:
        return AHEAD if isinstance(self._environment.runner, MasterRunner) else HERE

    def _cut(self, run: Run, at: float, *, changes: bool) -> Figures:
        """The run's figures once all processes gave theirs of this boundary."""
        run.timeline.set_boundary(at, changes=changes)
        self._wait(run, at)
        while True:
            figures = run.figures()
            found = [window for window in figures.windows if window.end == at]
            if found and (found[0].final or clock.stamp() > at + CUTS):
                return figures
            self._wait(run, clock.stamp() + LOOK)

    def _heard(self, run: Run, end: float, figures: Figures) -> Figures:
        """The run's figures once all messages to rooms that came by then are judged, if a check is on them.

        That takes twice the grace, in which nobody may leave: who does owes nothing.
        """
        until = end + self._hearing + CUTS
        while self._hearing and figures.audience.settled < end and clock.stamp() < until:
            self._now = ("judging", end + self._hearing)
            self._wait(run, clock.stamp() + LOOK)
            figures = run.figures()
        return figures

    def _wait(self, run: Run, until: float) -> None:
        if not goes_on(run, until):
            raise _Ended


def _window(figures: Figures, end: float) -> Window:
    return next(window for window in figures.windows if window.end == end)


def take_capacity(environment: Environment) -> Capacity | None:
    """The search that the command asks this run for, with its shape put in force; None without.

    Raises:
        UsageError: other options say otherwise, or how long sessions last isn't known.
    """
    text = os.environ.get(VARIABLE)
    if text is None or isinstance(environment.runner, WorkerRunner):
        return None
    asked, options, given = Asked.of(text), environment.parsed_options, environment.shape_class
    for name in _TAKEN:
        setattr(options, name, None)
    environment.reset_stats = False
    shape: UserLevels | SessionLevels
    if asked.arrivals:
        length = _length(options, given)
        shape = SessionLevels(length)
        if length < math.inf:
            asked = replace(asked, settle=max(asked.settle, length))
    else:
        if getattr(options, "sio_session_length", None) is not None:
            raise UsageError("--sio-session-length is of sessions per second: give --arrivals, not --users")
        shape = UserLevels(getattr(options, "spawn_rate", None), asked.settle / 2)
    if given is not None:
        print(f"sioload: capacity wins over the shape {type(given).__name__} of the locustfile")
    shape.runner = environment.runner
    environment.shape_class = shape
    _show_table()
    return Capacity(environment, asked, shape, checks_of(options))


def _length(options: object, given: object) -> float:
    text = getattr(options, "sio_session_length", None)
    if text is not None:
        return seconds_of(text) or math.inf
    own = given.length() if isinstance(given, Arrivals) else None
    own = length_of(given) if isinstance(given, Phases) else own
    if not isinstance(own, int | float):
        raise UsageError("--arrivals needs --sio-session-length, such as 30s, or none")
    return float(own)


def _show_table() -> None:
    """Levels are told as they end, in the place of Locust's own lines."""
    lenient(sys.stdout)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    table.handlers = [handler]
    table.propagate = False
    table.setLevel(logging.INFO)
    logging.getLogger("locust.stats_logger").disabled = True
    logging.getLogger("locust.runners").setLevel(logging.ERROR)  # it warns of rates that the search chose
