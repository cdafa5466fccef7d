"""Judging a run: merged figures, checks while it goes on and at its end, the exit code."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import gevent
import locust.log
from gevent.lock import RLock
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from sioload.measure.recorder import Names
from sioload.net import clock
from sioload.net.fleet import runner_of
from sioload.plain import Json
from sioload.report.checks import Check
from sioload.report.course import unreached
from sioload.report.document import exit_code, no_session, report, untrusted
from sioload.report.drill import document, outside
from sioload.report.evaluation import CheckResult, evaluate
from sioload.report.figures import Figures
from sioload.report.merge import Swarm
from sioload.report.reason import because, failures
from sioload.report.watch import Watch
from sioload.report.words import counted
from sioload.swarm import describe, outputs, statistics
from sioload.swarm.capacity import Capacity
from sioload.swarm.drill import Drill, take_drill
from sioload.swarm.guard import Guard
from sioload.swarm.options import checks_of
from sioload.swarm.servers import Watch as ServerWatch
from sioload.swarm.timeline import Timeline

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)

#: Seconds in which each worker reports twice.
REPORTS: Final = 6.0
#: Seconds after the users' end in which figures of servers still count, unless the drain may take longer.
LINGER: Final = 5.0


class Judge:
    """Runs where the figures of a whole run come together: in the only process, or on the master.

    Attributes:
        swarm: the newest snapshot of each process.
        names: names of rows that are shown; later ones become `(other)`, here as in Locust's own table.
        running: a test goes on.
        ended_by: the signal that ended it before its time; "" without.
        timeline: where it is cut.
        makers: make more files at the end of a run, as `path -> text`, from its report and figures.
    """

    def __init__(
        self,
        environment: Environment,
        swarm: Swarm,
        gather: Callable[[], Figures],
        feeds: Callable[[float], list[dict[str, Json]]],
        marked: Callable[[], None],
    ) -> None:
        """
        Args:
            environment: Locust's.
            swarm: what the figures are merged in.
            gather: merges what there is by now.
            feeds: what a report says of feeds, given when counting began (monotonic seconds).
            marked: tells the processes that run users of the boundaries in the swarm's windows.
        """
        self.environment = environment
        self.swarm = swarm
        self.names = Names()
        self.running = False
        self.makers: list[outputs.Maker] = []
        self._gather = gather
        self._feeds = feeds
        self._capacity: Capacity | None = getattr(environment, "sioload_capacity", None)
        self._drill = take_drill(environment)
        # Those of a search are of its levels, not of the run.
        self._checks = checks_of(environment.parsed_options) if self._capacity is None else []
        self.servers = ServerWatch(environment.parsed_options, self._is_watched)
        self._html_file = outputs.take_over_html(environment.parsed_options)
        self._watch = Watch(self._checks)
        self.timeline = Timeline(environment, self._checks, swarm.windows, marked)
        self.ended_by = ""
        self._aborted: CheckResult | None = None
        self._faults: list[str] = []
        self._workers = 0
        self._asked = 0
        self._asked_of: dict[str, int] = {}
        self._started = time.time()
        self._since = self._until = time.monotonic()
        self._settling = RLock()
        self._report: dict[str, Json] | None = None
        self._unwritten: set[str] = set()
        self._told = False
        self._beside: list[Callable[..., None]] = []

    def listen(self, guard: Guard) -> None:
        """Register what depends on the order of listeners: call it after all others of this process."""
        guard.listen("spawning_complete", self._count_asked)  # some numbers of users last for a second
        guard.listen("test_stopping", self._count_asked)
        # `quitting` fires in reverse: first in the list is last to run, after the script's own listeners.
        guard.first("quitting", self.settle)
        guard.listen("quit", self._on_quit)
        leading: tuple[Capacity | Drill | None, ...] = (self._capacity, self._drill)
        self._beside = [guard.safe(each.run) for each in leading if each is not None]
        guard.every(1.0, self._look)
        self.servers.start()

    def begin(self, workers: int = 0) -> None:
        """A test starts, on so many workers (0 without workers); call `forget` before."""
        self._workers = workers
        self.servers.begin()
        self._count_from_now()
        self.ended_by, self._aborted = "", None
        self._faults.clear()
        self._asked = 0
        self._asked_of.clear()
        self.running = True
        self.timeline.begin()
        for leads in self._beside:
            gevent.spawn(leads, self)

    @property
    def orders(self) -> dict[str, Json] | None:
        """What the processes that run users must know of a drill; None without."""
        return None if self._drill is None else self._drill.orders()

    def phase(self) -> tuple[str, float] | None:
        """The phase that is on, and the seconds that it goes on for; None without."""
        if self._capacity is not None:
            return self._capacity.phase
        now = clock.stamp()
        span = self.timeline.course.at(now) if self.running else None
        return None if span is None else (span.name, span.end - now)

    def forget(self) -> None:
        """Everything measured so far is forgotten, and the time it took too."""
        self.swarm.reset()
        self.names = Names()
        self._count_from_now()

    def _count_from_now(self) -> None:
        self._watch = Watch(self._checks, REPORTS if self._workers else 0.0)
        self.servers.clear()
        self._started = time.time()
        self._since = self._until = time.monotonic()
        self.timeline.forget(self.running)
        if self._drill is not None and self.running:
            self._drill.forget(self.timeline)

    def joined(self, workers: int) -> None:
        """A worker joined the running test; there are so many now."""
        self._workers = workers

    def end(self) -> None:
        """The users stop: rates count until now, not until the drain is over."""
        if self.running:
            self.running = False
            self.timeline.end()
            self._until = time.monotonic()

    def internal_error(self, text: str) -> None:
        """Note a fault of sioload itself in this process, once."""
        if text not in self._faults and len(self._faults) < 20:
            self._faults.append(text)

    def _is_watched(self) -> bool:
        """Whether figures of servers count: while a test goes on, and shortly after."""
        linger = max(LINGER, getattr(self.environment.parsed_options, "sio_drain", LINGER))
        return self.running or self._since < self._until > time.monotonic() - linger

    @property
    def started(self) -> float:
        """When counting began, in seconds since the epoch; another value after each reset."""
        return self._started

    @property
    def duration(self) -> float:
        """Seconds from the test's start until now or until its users were stopped."""
        return (time.monotonic() if self.running else self._until) - self._since

    def figures(self) -> Figures:
        """The merged figures as they are now."""
        figures = self._gather()
        deltas = self.swarm.audiences.deltas()
        for delta in deltas:
            delta.name = self.names.admit(delta.type, delta.name)
        statistics.log(self.environment.stats, deltas)
        faults = [*figures.internal_errors, *self._faults]
        figures = replace(figures, internal_errors=faults, servers=self.servers.metrics())
        if self._drill is not None:
            started = self.timeline.course.started
            figures.drill = document(self._drill.asked, self._drill.marks, figures, started)
        return figures

    def report(self, figures: Figures | None = None) -> dict[str, Json]:
        """The report as it would be now, or of these figures; once the run is over, the final one."""
        return self._report or self._compose(self.figures() if figures is None else figures)

    def _compose(self, figures: Figures) -> dict[str, Json]:
        search = self._capacity
        checks = [self._evaluate(check, figures) for check in self._checks]
        checks += [] if search is None else search.results()
        paced = describe.paced(self.environment, figures)
        limited = None if search is None else search.limited
        locust_code, cause = self._locust_exit_code(figures)
        code = exit_code(figures, checks, paced=paced, limited=limited, locust=locust_code)
        if code == 1 and no_session(figures):
            cause = "; ".join(filter(None, ("no user ever had a session", failures(figures))))
        doubts = untrusted(figures, checks, paced=paced, limited=limited)
        reason = because(code, doubts, checks) or cause
        return report(
            figures,
            version=describe.versions()["sioload"],
            started=self._started,
            duration=self.duration,
            host=describe.host(self.environment),
            peak_users=self._peak(figures),
            asked_users=self._asked or None,
            workers=self._workers,
            course=self.timeline.course,
            checks=checks,
            exit_code=code,
            exit_reason=reason if code else "",
            paced=paced,
            limited=limited,
            settings=describe.settings(self.environment, figures),
            versions=describe.versions(),
            feeds=self._feeds(self._since),
            server=[metric.document(self._since) for metric in figures.servers],
            asked_of=self._asked_of,
            capacity=None if search is None else search.document(),
            ended_by=self.ended_by if search is None else "",
        )

    def _evaluate(self, check: Check, figures: Figures) -> CheckResult:
        if self._aborted is not None and self._aborted.check is check:
            return self._aborted
        if check.phase is None and not check.after:
            return evaluate(check, figures, duration=self.duration, peak_users=self._peak(figures))
        course = self.timeline.course
        until = course.started + self.duration
        part = course.part(check.phase, check.after, until)
        counted = part.figures(figures) if part is not None and part.since < until else None
        if part is None or counted is None:
            return unreached(check, ended=not figures.going)
        return evaluate(check, counted, duration=part.until - part.since, peak_users=self._peak(counted))

    def _peak(self, figures: Figures) -> int:
        """The most users at a time. Those of workers whose users moved to others are counted once."""
        return min(figures.population.peak, self._asked or figures.population.peak)

    def settle(self, **_: object) -> None:
        """The process ends: evaluate, write what was asked for, set the exit code. The first call does."""
        with self._settling:
            if self._report is not None:
                return
            try:
                self._settle()
            except Exception:
                self.environment.process_exit_code = 4
                raise

    def _settle(self) -> None:
        self.end()
        self.servers.finish()
        if self._drill is not None:
            self._drill.end()
        figures = self.figures()  # Locust's own files show what was judged by now
        settings = describe.settings(self.environment, figures)
        self._faults += outputs.write_locust_files(self.environment, self._html_file, settings)
        options = self.environment.parsed_options
        figures = self.figures()
        final = self._compose(figures)
        faults = outputs.write(options, final, figures, self._started, self.makers)
        if faults:
            # The files that can be written shall tell of those that can't.
            self._faults += faults.values()
            figures = self.figures()
            final = self._compose(figures)
            faults = outputs.write(options, final, figures, self._started, self.makers)
        self._report, self._unwritten = final, set(faults)
        self.environment.process_exit_code = final["exit_code"]

    def _locust_exit_code(self, figures: Figures) -> tuple[int, str]:
        """What Locust's own rules (main.py) make of this run, and why."""
        runner, options = runner_of(self.environment), self.environment.parsed_options
        if self.environment.process_exit_code is not None:
            return int(
                self.environment.process_exit_code
            ), "set by the script (environment.process_exit_code)"
        if self._drill is not None and self._drill.given_up:
            return 1, "no user has had a session"
        explained = self._drill is not None and outside(self._drill.marks, figures) <= 0
        if (runner.errors or runner.exceptions) and self._capacity is None and not explained:
            cause = failures(figures) or "failures that Locust counts, see its tables"
            return int(getattr(options, "exit_code_on_error", 1)), cause
        cause = "an exception that nothing caught, in a listener or a greenlet: see the log"
        return (2, cause) if locust.log.unhandled_greenlet_exception else (0, "")

    def _on_quit(self, **_: object) -> None:
        """Locust has printed its tables; ours come last."""
        if self._report is not None and not self._told:
            self._told = True
            outputs.tell(self._report, self.environment.parsed_options, self._unwritten)

    def _count_asked(self, **_: object) -> None:
        """The most users that were asked for at a time, in all and of each class."""
        runner = runner_of(self.environment)
        self._asked = max(self._asked, runner.target_user_count)
        found: Counter[str] = Counter()
        placed = getattr(runner._users_dispatcher, "_users_on_workers", {})
        for users in list(placed.values()):
            found.update(users)
        for name, count in found.items():
            self._asked_of[name] = max(self._asked_of.get(name, 0), count)

    def _look(self) -> None:
        """Once a second while a test goes on: users, and the checks that may abort it."""
        runner = runner_of(self.environment)
        if not self.running or runner.state not in (STATE_SPAWNING, STATE_RUNNING):
            return
        self._count_asked()
        figures = self.figures()
        if self._aborted is None and any(check.abort_after is not None for check in self._checks):
            users, course = runner.user_count, self.timeline.course
            self._aborted = self._watch.feed(figures, course, now=clock.stamp(), users=users)
            if self._aborted is not None:
                check, reason = self._aborted.check.text, self._aborted.reason
                at = counted(users, "user")
                logger.error("sioload: stopping at %s, check failed: %s (%s)", at, check, reason)
                headless = getattr(self.environment.parsed_options, "headless", False)
                gevent.spawn(runner.quit if headless else runner.stop)
