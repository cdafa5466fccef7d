"""Users of which some raise in `on_start` or `on_stop`, can't connect, leave, or have odd tasks."""

from __future__ import annotations

import itertools
import os

from locust import HttpUser, constant, task
from locust.exception import StopUser

from sioload import SocketIOUser, on

numbers = itertools.count()
#: How the users that leave do so.
LEAVES = os.environ.get("LEAVES", "")


class Fated(SocketIOUser):
    wait_time = constant(0.3)
    fixed_count = 12
    options = {
        "transports": ["websocket"],
        "version": 4,
        "reconnection_attempts": 1,
        "reconnection_delay": 0.1,
    }

    def __init__(self, environment):
        super().__init__(environment)
        self.number = next(numbers) % 6

    def on_start(self):
        if self.number == 0:
            raise ZeroDivisionError("canary of on_start")
        if self.number == 1:
            self.sio.connect(os.environ["CLOSED"])
        self.sio.connect()

    @task
    def work(self):
        self.sio.call("echo", 1)
        if self.number == 2:
            if LEAVES == "in its task":
                self.stop()
            elif LEAVES == "in a handler":
                self.sio.emit("echo", "leave")
            else:
                raise StopUser
        if self.number == 3:
            raise KeyError("odd task")

    def on_stop(self):
        if self.number == 4:
            raise RuntimeError("canary of on_stop")

    @on("echo")
    def leave(self, _):
        self.stop()


class Refused(HttpUser):
    wait_time = constant(0.3)
    fixed_count = 2

    def on_start(self):
        self.client.post("/no-such-login")

    @task
    def rest(self):
        pass
