"""A locustfile for runs in which something goes wrong: users that call all the time, perhaps an early end.

`TRANSPORTS` names what they use, `PATIENCE` their timeouts in seconds. With `QUIT`, the run ends by
`runner.quit()` after so many seconds.
"""

from __future__ import annotations

import os
from typing import Any

import gevent
from locust import constant, events, task
from locust.runners import WorkerRunner

from sioload import SocketIOUser

PATIENCE = float(os.environ["PATIENCE"])


class Caller(SocketIOUser):
    wait_time = constant(0.1)
    options = {"version": 4, "transports": os.environ["TRANSPORTS"].split(","), "connect_timeout": PATIENCE,
               "ack_timeout": PATIENCE, "reconnection_delay": 0.2, "reconnection_delay_max": 0.4}  # fmt: skip

    @task
    def talk(self) -> None:
        self.sio.call("echo", 1)


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    if "QUIT" in os.environ and not isinstance(environment.runner, WorkerRunner):
        gevent.spawn_later(float(os.environ["QUIT"]), environment.runner.quit)
