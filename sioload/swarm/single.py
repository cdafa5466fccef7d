"""A user that runs without a runner: `locust.run_single_user`, the way to debug a locustfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioload.swarm.guard import Guard
from sioload.swarm.lending import LocalDesk
from sioload.swarm.producer import Producer

if TYPE_CHECKING:
    from locust.env import Environment


class Single:
    """Counts what the user does, for Locust's statistics and for listeners of the `request` event."""

    def __init__(self, environment: Environment) -> None:
        self.producer = Producer(environment)
        self.desk = LocalDesk()
        self.guard = Guard(environment, self.producer.fleet.recorder.internal_error)
        self.guard.first("test_start", lambda **_: self.producer.prepare())
        self.guard.listen("test_start", lambda **_: self.producer.begin())

    def hurry(self) -> None:
        """There is no end that could be hurried."""
