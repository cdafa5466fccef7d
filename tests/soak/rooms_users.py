"""Users of `rooms.js`: they listen in their rooms; one in twenty leaves and comes back all the time."""

from __future__ import annotations

import itertools

from locust import constant, task

from sioload import SocketIOUser, on

numbers = itertools.count()


class Listener(SocketIOUser):
    wait_time = constant(3)
    options = {"transports": ["websocket"]}

    def on_start(self):
        self.sio.connect()
        self.restless = next(numbers) % 20 == 0
        self.room = self.sio.call("enter")
        self.sio.rooms.add(self.room)

    @on("message", sent_at=lambda m: m["sent"], room=lambda m: (m["room"], m["id"]))
    def heard(self, message): ...

    @task
    def move(self):
        if self.restless:
            self.sio.rooms.discard(self.room)
            self.sio.call("leave", self.room)
            self.sio.call("join", self.room)
            self.sio.rooms.add(self.room)
