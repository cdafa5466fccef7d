"""A run while it goes on: its history, and its report as it stands, for pages, metrics and the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import gevent
from gevent.lock import RLock

from sioload.measure.history import History
from sioload.measure.merge import Figures
from sioload.measure.rows import Totals
from sioload.swarm.local import Local
from sioload.swarm.master import Master

#: Seconds between two looks at the run.
LOOK: Final = 0.25
#: Seconds between two points of the history, in the only process.
STEP: Final = 1.0
#: Seconds after which a point doesn't wait for the workers' reports, which come every three seconds.
PATIENCE: Final = 6.0
#: Seconds that a report is shown before it is made anew.
FRESH: Final = 1.0


class Live:
    """Watches the run from the process where its figures come together.

    Attributes:
        environment: Locust's.
        part: the process's part in the run.
        history: how the run went over time.
        settled_at: since when no test goes on and all figures are final (monotonic seconds); else None.
    """

    def __init__(self, environment: Any, part: Local | Master) -> None:
        self.environment = environment
        self.part = part
        self.judge = part.judge
        self.history = History()
        self.settled_at: float | None = time.monotonic()
        self._lock = RLock()
        self._counted_from = self.judge.started
        self._since = self._fed = time.monotonic()
        self._seen: Mapping[str, int] = {}
        self._report: tuple[float, dict[str, Any]] | None = None

    def watch(self) -> None:
        """Look once; to be called every `LOOK` seconds."""
        if self.judge.started != self._counted_from:
            self._restart()
        if self.judge.running:
            self.settled_at = None
            if self._due():
                self.sample()
        elif self.settled_at is None and self.part.settled:
            self.sample()
            self._report = None
            self.settled_at = time.monotonic()

    def sample(self, figures: Figures | None = None) -> None:
        """Add a point to the history, now."""
        with self._lock:
            self._fed = time.monotonic()
            self._seen = self._reports()
            figures = self.judge.figures() if figures is None else figures
            users = self.environment.runner.user_count
            self.history.feed(self._fed - self._since, figures, users, _in_turn(figures.rows))

    def _restart(self) -> None:
        """A test starts, or was told to forget what it counted."""
        with self._lock:
            self._counted_from = self.judge.started
            self._since = time.monotonic() - max(0.0, time.time() - self._counted_from)
            self._report = None
            self.history.clear()

    def _due(self) -> bool:
        passed = time.monotonic() - self._fed
        if isinstance(self.part, Local):
            return passed >= STEP - LOOK / 2
        if passed >= PATIENCE:
            return True
        # A point holds as many reports of each worker, else rates would swing with when reports come.
        reports = self._reports()
        return bool(reports) and all(seq > self._seen.get(worker, -1) for worker, seq in reports.items())

    def _reports(self) -> Mapping[str, int]:
        return {} if isinstance(self.part, Local) else self.part.reports

    def report(self) -> dict[str, Any]:
        """The report as it stands; the final one at the end."""
        now = time.monotonic()
        if self._report is None or now - self._report[0] >= FRESH:
            self._report = (now, self.judge.report())
        return self._report[1]

    @property
    def state(self) -> str:
        """Locust's word for how the test stands."""
        return str(self.environment.runner.state)


def _in_turn(rows: Iterable[Totals]) -> Iterator[Totals]:
    """Rows, with room between them for the users of this process: no long pause shall come of looking."""
    for row in rows:
        yield row
        gevent.sleep(0)
