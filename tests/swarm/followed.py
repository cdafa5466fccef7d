"""Users that talk and hear what all say."""

from __future__ import annotations

from itertools import count

from locust import constant, task

from sioload import SocketIOUser, on, stamp

NUMBERS = count()


class Followed(SocketIOUser):
    wait_time = constant(0.2)
    options = {"version": 4, "transports": ["websocket"]}

    @task
    def say(self) -> None:
        message = {"sent": stamp(), "who": id(self), "n": next(NUMBERS)}
        self.sio.call("message", message, timeout=5, name="say")

    @on("message", sent_at=lambda m: m["sent"], delivery=lambda m: (m["who"], m["n"]))
    def heard(self, message: object) -> None: ...
