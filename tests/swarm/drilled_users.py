"""Users that call, and come back when they are cut off."""

from __future__ import annotations

import contextlib

from locust import constant, task

from sioload import EmitError, SocketIOUser


class Caller(SocketIOUser):
    wait_time = constant(2)
    options = {
        "version": 4, "transports": ["websocket"], "connect_jitter": 0.3,
        "reconnection_delay": 0.3, "reconnection_delay_max": 0.6,
    }  # fmt: skip

    @task
    def call(self) -> None:
        with contextlib.suppress(EmitError):
            self.sio.call("echo", 1)
