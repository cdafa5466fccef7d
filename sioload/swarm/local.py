"""The only process of a run without workers: its users and its judge in one."""

from __future__ import annotations

from typing import Any

from sioload.report.merge import Figures, Swarm
from sioload.swarm.guard import Guard
from sioload.swarm.judge import Judge
from sioload.swarm.producer import Producer, stop_users


class Local:
    """Runs the users, drains at the end, and judges."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.producer = Producer(environment)
        self.judge = Judge(environment, Swarm(), self._gather)
        guard = Guard(environment, self.judge.internal_error)
        guard.listen("test_start", self.on_test_start)
        guard.first("test_stopping", self.on_test_stopping)
        guard.listen("test_stop", self.on_test_stop)
        guard.listen("spawning_complete", self.on_spawning_complete)
        guard.listen("reset_stats", self.on_reset)
        guard.listen("quitting", self.on_quitting)
        self.judge.listen(guard)

    def on_test_start(self, **_: Any) -> None:
        self.producer.begin()
        self.judge.begin()

    def on_test_stopping(self, **_: Any) -> None:
        self.producer.stopping()
        self.producer.stopping()
        self.judge.end()

    def on_test_stop(self, **_: Any) -> None:
        self.producer.end()

    def on_spawning_complete(self, **_: Any) -> None:
        self.producer.ramped_up()
        if self.environment.reset_stats:
            self.on_reset()

    def on_reset(self, **_: Any) -> None:
        self.producer.forget()
        self.judge.forget()

    def on_quitting(self, **_: Any) -> None:
        """A signal may have ended the run: Locust stops users after `quitting` only.

        Registered last, it runs first.
        """
        stop_users(self.environment.runner)
        self.producer.end()

    @property
    def settled(self) -> bool:
        """No test goes on, and the figures of the last one are final."""
        return not self.judge.running and self.producer.drained

    def hurry(self) -> None:
        self.producer.hurry()

    def _gather(self) -> Figures:
        self.producer.flush()
        return self.judge.swarm.take_local(self.producer.fleet.recorder)
