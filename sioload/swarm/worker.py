"""A worker's part: cumulative snapshots in its reports, and an end at which the master has everything."""

from __future__ import annotations

import logging
import math
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import gevent
from locust import argument_parser
from locust.rpc import Message
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner, locust_exception_handler

from sioload.load.arrivals import lacks_class
from sioload.net.clock import stamp
from sioload.plain import Json
from sioload.swarm.clocks import Clock
from sioload.swarm.guard import Guard
from sioload.swarm.lending import WorkerDesk
from sioload.swarm.messages import (
    CUTS,
    HEARD,
    HURRY,
    MARKS,
    OURS,
    RESET,
    SNAPSHOT,
    STOP,
    STOPPED,
    TEST,
    TRACE,
    UNSENT,
)
from sioload.swarm.producer import SLOW_STOP, Producer

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)


def know_options() -> None:
    """Let Locust find the defaults of its own options once.

    A worker asks for them with each message that spawns users, once for each option of the run, and Locust
    builds a parser each time: a quarter of a second in which nothing else runs, every second of a ramp.
    On a busy machine the master takes such a worker for missing.
    """
    argument_parser.default_args_dict = cache(argument_parser.default_args_dict)


class Worker:
    """Reports to the master what this process's users did.

    A report holds everything counted since the test's start (or its last reset), so that one that is lost or
    repeated changes nothing, and the number of that test, so that one that comes late is known as such.
    """

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self.environment = environment
        self.runner = runner
        self.producer = Producer(environment, self.report, self._cut, trace=partial(self._send, TRACE))
        self._test = 0
        self._stopping: int | None = None
        self._marks: dict[str, Json] = {"test": 0, "marks": [], "ramps": [], "fresh": []}
        self._seq = 0
        guard = self.guard = Guard(environment, self.producer.fleet.recorder.internal_error)
        self.desk = WorkerDesk(runner, guard)
        guard.first("report_to_master", self.on_report)
        guard.first("test_start", self.on_test_starting)
        guard.listen("test_start", self.on_test_start)
        guard.first("test_stopping", self.on_test_stopping)
        guard.last("test_stop", self.on_test_stop)
        guard.first("spawning_complete", self.on_spawning_complete)
        guard.last("quitting", self.on_quitting)
        self._clock = Clock(runner, self.producer.fleet.recorder, guard)
        self._stops: Any = None
        self._handle = runner.handle_message
        runner.handle_message = self._on_message  # type: ignore[method-assign]
        runner.register_message(STOP, guard.safe(self.on_stop), concurrent=True)
        runner.register_message(HURRY, guard.safe(self.on_hurry), concurrent=True)
        runner.register_message(RESET, guard.safe(self.on_reset))
        runner.register_message(MARKS, guard.safe(self.on_marks))
        runner.register_message(CUTS, guard.safe(self.on_cuts))
        runner.register_message(HEARD, guard.safe(self.on_heard))
        if not any(getattr(each, "_run", None) == runner.worker for each in runner.greenlet):
            # Nobody takes the master's messages: it told to quit while Locust still made the runner.
            runner.greenlet.kill(block=False)
        elif self._began_without_us():
            guard.safe(self._begin)(late=True)

    def _began_without_us(self) -> bool:
        """A worker that joins a running test begins at once: maybe while Locust still makes its runner."""
        begun = self.runner.worker_state in (STATE_SPAWNING, STATE_RUNNING)
        return begun or bool(getattr(self.environment.parsed_options, TEST, 0))

    def on_test_starting(self, **_: object) -> None:
        """Before listeners of the script: the requests that they make count, and may be reported by then."""
        self._prepare(late=False)

    def _prepare(self, *, late: bool) -> None:
        self.producer.prepare(late=late)
        self._test = getattr(self.environment.parsed_options, TEST, self._test)

    def on_test_start(self, **_: object) -> None:
        self._begin(late=False)

    def _begin(self, *, late: bool) -> None:
        if late:
            self._prepare(late=True)
        self.guard.rearrange()
        self.producer.begin()
        self._know_marks()
        if late and self.runner.state == STATE_RUNNING:
            self.producer.ramped_up()
        self.report()  # so that the master knows of this worker from its first user on

    def on_test_stopping(self, **_: object) -> None:
        self.guard.rearrange()
        self.producer.stopping()

    def on_test_stop(self, **_: object) -> None:
        self.producer.end()

    def on_quitting(self, **_: object) -> None:
        """This process was told to end by a signal, perhaps alone.

        Registered last, it runs first: before Locust tells the master that this worker is gone.
        """
        self.guard.claim_quit()
        self.producer.stop(SLOW_STOP)
        self.report()

    def _on_message(self, msg: Message) -> None:
        """Locust stops users in the greenlet that receives messages, for as long as they take.

        What users wait for, such as rows of a feed, and a hurry must not come after that only. The rest does.
        """
        if msg.type != "heartbeat" and not msg.type.startswith(OURS):
            self._await_stop(quits=msg.type == "quit")
        if msg.type != "stop":
            left_out = _leave_out(self.runner, msg)
            self._handle(msg)
            for name in left_out:  # after a test's start, which forgets faults of the one before
                lacks_class(self.runner, name)
            return
        self._stops = self.runner.greenlet.spawn(self._handle, msg)
        self._stops.link_exception(locust_exception_handler(self.environment))

    def _await_stop(self, *, quits: bool) -> None:
        """Wait until Locust has done what "stop" asks for: this worker is ready again, which is long after
        its users' end with a `--stop-timeout`. Who `quits` waits for that end only."""
        while self._stops and not (quits and self.producer.ending):
            gevent.sleep(0.02)

    def on_stop(self, environment: Environment, msg: Message) -> None:
        """The master ends the test and waits for this worker's last report; it asks again while it does."""
        if msg.data["test"] == self._test:
            if self._stopping == self._test:
                return
            self._stopping = self._test
            self.producer.stop(math.inf)
        self._send(STOPPED, msg.data)

    def on_hurry(self, environment: Environment, msg: Message) -> None:
        self.hurry()

    def on_marks(self, environment: Environment, msg: Message) -> None:
        """The boundaries of a test, maybe of one that begins here a moment later."""
        self._marks = msg.data
        self._know_marks()

    def _know_marks(self) -> None:
        if self._marks["test"] == self._test:
            marks = self._marks
            self.producer.cutter.know(marks["marks"], marks["ramps"], marks.get("fresh", []))
            self.producer.drill(marks.get("drill"))

    def _cut(self, cut: dict[str, Json]) -> None:
        """A search for capacity waits for each of its levels; other cuts go along with the next report."""
        if cut["mark"] in self.producer.cutter.fresh:
            self.report()

    def on_cuts(self, environment: Environment, msg: Message) -> None:
        if msg.data["test"] == self._test:
            self.producer.cutter.marks.confirmed(msg.data["marks"])

    def on_heard(self, environment: Environment, msg: Message) -> None:
        recorder = self.producer.fleet.recorder
        if msg.data["epoch"] == recorder.epoch and msg.data["test"] == self._test:
            recorder.audience.confirmed(msg.data["next"], msg.data["shift"])

    def on_reset(self, environment: Environment, msg: Message) -> None:
        """Someone pressed "Reset Stats" on the master, or it runs with `--reset-stats`."""
        if msg.data["test"] != self._test:
            self.producer.forget()
            self.runner.stats.reset_all()
            self._test = msg.data["test"]
            self._know_marks()
        self.report()

    def on_spawning_complete(self, **_: object) -> None:
        """With `--reset-stats`, Locust resets its statistics next; the master has just let us forget ours."""
        if self.environment.reset_stats:
            self.report()
        self.producer.ramped_up()

    def hurry(self) -> None:
        self.producer.hurry()

    def on_report(self, client_id: str, data: dict[str, Json], **_: object) -> None:
        """Runs before Locust's own listener, which serialises and clears its statistics."""
        self.producer.flush()
        self._clock.update()
        self._seq += 1
        recorder = self.producer.fleet.recorder
        data[SNAPSHOT] = {
            "test": self._test,
            "final": self.producer.drained,
            "stopping": not self.producer.ending,
            "marks": len(self.producer.cutter.marks.known),
            "cuts": self.producer.cutter.marks.unsent(),
            "snapshot": recorder.snapshot(self._seq),
            "audience": recorder.audience.report(stamp()),
        }
        if self.producer.drained:
            data[SNAPSHOT]["blocks"] = self.producer.fleet.recorder.blocks.encode()

    def report(self) -> None:
        """Send a report now instead of within three seconds."""
        try:
            self.runner._send_stats()
        except UNSENT as error:
            logger.warning("sioload: a report didn't reach the master: %s", error)

    def _send(self, kind: str, data: Json) -> None:
        try:
            self.runner.send_message(kind, data)
        except UNSENT as error:
            logger.warning("sioload: an answer didn't reach the master: %s", error)


def _leave_out(runner: WorkerRunner, msg: Message) -> list[str]:
    """Take classes of users that the locustfile here doesn't have out of what the master asks for.

    Locust would begin nobody, and its master go on without these users.

    Returns:
        Those that it asked users of.
    """
    if msg.type != "spawn":
        return []
    asked = msg.data["user_classes_count"]
    return [name for name in asked.keys() - runner.user_classes_by_name.keys() if asked.pop(name)]
