"""A locustfile of the tests of faults: users that call without rest."""

from __future__ import annotations

import os

import gevent
import locust.runners
from locust import constant, task

from sioload import ConnectionLost, NotConnected, SocketIOUser

if "MASTER_PATIENCE" in os.environ:
    locust.runners.MASTER_HEARTBEAT_TIMEOUT = float(os.environ["MASTER_PATIENCE"])


class Caller(SocketIOUser):
    wait_time = constant(0.05)
    options = {
        "version": 4,
        "transports": ["websocket"],
        "reconnection_delay": 0.2,
        "reconnection_delay_max": 0.4,
    }

    @task
    def talk(self) -> None:
        try:
            self.sio.call("echo", "€😀é", timeout=5)
        except (ConnectionLost, NotConnected):
            pass  # counted; the connection comes back by itself

    def on_stop(self) -> None:
        gevent.sleep(float(os.environ.get("SLOW_STOP", "0")))
