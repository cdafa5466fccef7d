"""Receivers of a numbered stream: some come late, some lose their connections and come back."""

import itertools
import os

from locust import constant, task

from sioload import SocketIOUser, on

numbers = itertools.count()


class Reader(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4, "reconnection_delay": 0.1}
    wait_time = constant(10)

    def on_start(self):
        self.who = f"{os.getpid()}{next(numbers)}"
        self.sio.connect()

    def on_connected(self):
        self.sio.emit("subscribe", self.who)

    @on("news", delivery=lambda news: ("news", news["n"]))
    def read(self, news):
        pass

    @task
    def rest(self):
        pass
