"""Receivers of one stream, every third of which gets nothing any more after a moment."""

from __future__ import annotations

import itertools

from locust import constant, task

from sioload import SocketIOUser, on

numbers = itertools.count()


class Reader(SocketIOUser):
    wait_time = constant(60)
    options = {"transports": ["websocket"], "version": 4}

    def on_start(self):
        self.sio.connect()
        self.sio.call("subscribe", {"rate": 20})

    @task
    def stop_some(self):
        if next(numbers) % 3 == 0:
            self.sio.sleep(0.3)
            self.sio.call("subscribe", {"rate": 0})

    @on("news", delivery=lambda news: ("news", news["n"]))
    def read(self, news): ...
