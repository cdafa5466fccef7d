"""A run while it goes on: its history, and its report as it stands, for pages, metrics and the terminal.

Looking must not slow down the users of this process, whose samples would show it. What takes long is
therefore done aside, in a thread, with copies of what users go on writing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from gevent.lock import RLock
from gevent.threadpool import ThreadPool

from sioload.measure.rows import Totals
from sioload.net.fleet import runner_of
from sioload.net.turns import give_way
from sioload.plain import Json
from sioload.report.figures import Figures
from sioload.report.history import History, Point
from sioload.swarm.local import Local
from sioload.swarm.master import Master

if TYPE_CHECKING:
    from locust.env import Environment

#: Seconds between two looks at the run.
LOOK: Final = 0.25
#: Seconds between two points of the history, in the only process.
STEP: Final = 1.0
#: Seconds after which a point doesn't wait for the workers' reports, which come every three seconds.
LATE: Final = 6.0
#: Seconds that a report is shown before it is made anew.
FRESH: Final = 1.0
#: Rows after which others get their turn, where a row takes a few microseconds.
MANY: Final = 100
#: Seconds after which a thread lets the event loop go on. Python's own 5 ms would be seen in the samples.
SWITCH: Final = 0.0005

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment; it changes no more, so a thread may read it.

    Attributes:
        report, figures: of the run as it stands.
        points, rows: its history, and the types and names of the history's rows.
        state: Locust's word for how the test stands.
        users: simulated users now.
        running: users are simulated, and rates are over the time until now.
        final: no test goes on, and all figures are in.
        duration: seconds that rates are over.
        phase: the phase that is on, and the seconds that it goes on for; None without.
        origin: when the history begins (monotonic seconds).
    """

    report: Mapping[str, Json]
    figures: Figures
    points: list[Point]
    rows: list[tuple[str, str]]
    state: str
    users: int
    running: bool
    final: bool
    duration: float
    phase: tuple[str, float] | None = None
    origin: float = 0.0


class Live:
    """Watches the run from the process where its figures come together.

    Attributes:
        environment: Locust's.
        part: the process's part in the run.
        history: how the run went over time.
        settled_at: since when no test goes on and all figures are final (monotonic seconds); else None.
    """

    def __init__(self, environment: Environment, part: Local | Master) -> None:
        self.environment = environment
        self.part = part
        self.judge = part.judge
        self.history = History()
        self.settled_at: float | None = time.monotonic()
        self._lock = RLock()
        self._counted_from = self.judge.started
        self._since = self._fed = time.monotonic()
        self._seen: Mapping[str, int] = {}
        self._look: tuple[float, Look] | None = None
        self._looking = RLock()
        self._pool = ThreadPool(1)
        sys.setswitchinterval(SWITCH)

    def watch(self) -> None:
        """Look once; to be called every `LOOK` seconds."""
        if self.judge.started != self._counted_from:
            self._restart()
            if not self.part.settled:  # it may have been stopped since the last look
                self.settled_at = None
        if self.judge.running:
            self.settled_at = None
        elif self.settled_at is None and self.part.settled:
            self.sample()
            self._look = None
            self.settled_at = time.monotonic()
        if self.settled_at is None and self._due():  # also while what is open gets its time
            self.sample()

    def sample(self, figures: Figures | None = None) -> None:
        """Add a point to the history, now."""
        with self._lock:
            self._fed = time.monotonic()
            self._seen = self._reports()
            figures = self.judge.figures() if figures is None else figures
            users = runner_of(self.environment).user_count
            self.history.feed(self._fed - self._since, figures, users, in_turn(figures.rows))

    def _restart(self) -> None:
        """A test starts, or was told to forget what it counted."""
        with self._lock:
            self._counted_from = self.judge.started
            self._since = time.monotonic() - max(0.0, time.time() - self._counted_from)
            self._look = None
            self.history.clear()

    def _due(self) -> bool:
        passed = time.monotonic() - self._fed
        if isinstance(self.part, Local):
            return passed >= STEP - LOOK / 2
        if passed >= LATE:
            return True
        # A point holds as many reports of each worker, else rates would swing with when reports come.
        reports = self._reports()
        return bool(reports) and all(seq > self._seen.get(worker, -1) for worker, seq in reports.items())

    def _reports(self) -> Mapping[str, int]:
        return {} if isinstance(self.part, Local) else self.part.reports

    def look(self) -> Look:
        """The run as it stands, not older than `FRESH`; while a test ends, as it stood before it did.

        Workers whose last report is on its way would be taken for lost ones.
        """
        with self._looking:
            now, settling = time.monotonic(), not self.judge.running and self.settled_at is None
            if self._look is None or (now - self._look[0] >= FRESH and not settling):
                self._look = (now, self._new_look())
            return self._look[1]

    def _new_look(self) -> Look:
        figures, points, rows = self.judge.figures(), self.history.points, list(self.history.rows)
        running, duration = self.judge.running, self.judge.duration
        final = self.settled_at is not None and not running  # a test may have begun since `watch` last looked
        # Copies don't grow while they are read.
        copies = [row.copy() for row in in_turn(figures.rows, MANY)]
        figures = replace(figures, rows=copies, going=not final)
        runner = runner_of(self.environment)
        state, users = str(runner.state), int(runner.user_count)
        report, phase = self.aside(self.judge.report, figures), self.judge.phase()
        return Look(report, figures, points, rows, state, users, running, final, duration, phase, self._since)

    def aside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread and wait for it; users of this process go on. One call at a time."""
        result: T = self._pool.apply(function, args, kwargs)
        return result


def in_turn(rows: Iterable[Totals], many: int = 1) -> Iterator[Totals]:
    """Rows, with room after so many for the users of this process: no long pause shall come of looking."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % many == 0:
            give_way()
