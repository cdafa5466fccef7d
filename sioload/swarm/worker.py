"""A worker's part: cumulative snapshots in its reports, and an end at which the master has everything."""

from __future__ import annotations

import logging
from typing import Any

from locust.exception import RPCError
from locust.rpc import Message
from locust.runners import WorkerRunner

from sioload.engineio.urls import bare
from sioload.swarm.clocks import Clock
from sioload.swarm.guard import Guard
from sioload.swarm.messages import HOST, RESET, SNAPSHOT, STOP, TEST
from sioload.swarm.producer import Producer, stop_users

logger = logging.getLogger(__name__)


class Worker:
    """Reports to the master what this process's users did.

    A report holds everything counted since the test's start (or its last reset), so that one that is lost or
    repeated changes nothing, and the number of that test, so that one that comes late is known as such.
    """

    def __init__(self, environment: Any, runner: WorkerRunner) -> None:
        self.environment = environment
        self.runner = runner
        self.producer = Producer(environment)
        self._test = 0
        self._seq = 0
        guard = Guard(environment, self.producer.fleet.recorder.internal_error)
        guard.first("report_to_master", self.on_report)
        guard.listen("test_start", self.on_test_start)
        guard.first("test_stopping", self.on_test_stopping)
        guard.listen("test_stop", self.on_test_stop)
        guard.first("spawning_complete", self.on_spawning_complete)
        guard.listen("quitting", self.on_quitting)
        self._clock = Clock(runner, self.producer.fleet.recorder, guard)
        runner.register_message(STOP, guard.safe(self.on_stop), concurrent=True)
        runner.register_message(RESET, guard.safe(self.on_reset))

    def on_test_start(self, **_: Any) -> None:
        self.producer.begin()
        options = self.environment.parsed_options
        self._test = getattr(options, TEST, 0)
        if whole := getattr(options, HOST, None):
            self.producer.fleet.hosts[bare(whole)] = whole

    def on_test_stopping(self, **_: Any) -> None:
        self.producer.stopping()

    def on_test_stop(self, **_: Any) -> None:
        self.producer.end()
        self.report()

    def on_quitting(self, **_: Any) -> None:
        """This process was told to end by a signal, perhaps alone.

        Registered last, it runs first: before Locust tells the master that this worker is gone.
        """
        stop_users(self.runner)
        self.producer.end()
        self.report()

    def on_stop(self, environment: Any, msg: Message) -> None:
        """The master ends the test and waits for this worker's last report."""
        if msg.data["test"] != self._test:
            return
        stop_users(self.runner)
        self.producer.end()
        self.report()

    def on_reset(self, environment: Any, msg: Message) -> None:
        """Someone pressed "Reset Stats" on the master, or it runs with `--reset-stats`."""
        self.producer.forget()
        self.runner.stats.reset_all()
        self._test = msg.data["test"]
        self.report()

    def on_spawning_complete(self, **_: Any) -> None:
        """With `--reset-stats`, Locust resets its statistics next; the master has just let us forget ours."""
        if self.environment.reset_stats:
            self.report()
        self.producer.ramped_up()

    def hurry(self) -> None:
        self.producer.hurry()

    def on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Runs before Locust's own listener, which serialises and clears its statistics."""
        self.producer.flush()
        self._clock.update()
        self._seq += 1
        data[SNAPSHOT] = {
            "test": self._test,
            "final": self.producer.drained,
            "snapshot": self.producer.fleet.recorder.snapshot(self._seq),
        }

    def report(self) -> None:
        """Send a report now instead of within three seconds."""
        try:
            self.runner._send_stats()
        except RPCError as error:
            logger.warning("sioload: the last report didn't reach the master: %s", error)
