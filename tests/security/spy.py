"""A locustfile full of secrets, for a server that throws them back."""

from __future__ import annotations

import os

from locust import constant, task

from sioload import EmitError, SocketIOUser

SECRET = os.environ["CANARY"]


class Spy(SocketIOUser):
    wait_time = constant(0.05)
    options = {
        "version": 4,
        "transports": os.environ["TRANSPORTS"].split(","),
        "connect_timeout": 2.0,
        "ack_timeout": 0.5,
        "reconnection_delay": 0.05,
        "reconnection_delay_max": 0.1,
        "auth": {"token": SECRET + "-auth", "deep": [{"er": SECRET + "-deep"}]},
        "auth_token": SECRET + "-token",
        "headers": {"Authorization": f"Bearer {SECRET}-header", "X-Api-Key": SECRET + "-key"},
        "cookies": {"session": SECRET + "-cookie"},
        "query": {"access_token": SECRET + "-query"},
    }

    def on_start(self) -> None:
        self.sio.connect()

    @task
    def talk(self) -> None:
        try:
            self.sio.call("echo", {"password": SECRET + "-data"})
            self.sio.emit("silent", SECRET + "-emitted")
        except EmitError:
            pass  # counted

    @task
    def unexpected(self) -> None:
        self.sio.call("echo", SECRET + "-refused", ok=lambda reply: False)

    @task
    def crash(self) -> None:
        raise RuntimeError("a fault of the script's own")

    @task
    def unsendable(self) -> None:
        self.sio.call("echo", {"key": [SECRET + "-unsent", object()]})
