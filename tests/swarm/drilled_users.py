"""Users that call, and come back when they are cut off."""

from __future__ import annotations

import contextlib
import itertools
import os

from locust import constant, task
from locust.exception import StopUser

from sioload import EmitError, SocketIOUser

numbers = itertools.count()
#: How many users leave before they connect.
LEAVE = int(os.environ.get("LEAVE", "0"))


class Caller(SocketIOUser):
    wait_time = constant(2)
    options = {
        "version": 4, "transports": ["websocket"], "connect_jitter": 0.3,
        "reconnection_delay": 0.3, "reconnection_delay_max": 0.6,
    }  # fmt: skip

    def on_start(self) -> None:
        if next(numbers) < LEAVE:
            raise StopUser

    @task
    def call(self) -> None:
        with contextlib.suppress(EmitError):
            self.sio.call("echo", 1)
