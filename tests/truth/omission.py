"""A user that waits for each answer and one that doesn't, both at a fixed rate; the server stalls once."""

import os
from time import perf_counter

import hooks
from locust import constant, events, task

from sioload import SocketIOUser, paced

RATE = float(os.environ["RATE"])
#: When each of them began, when it was told to stop, and when both had ended.
spans = hooks.told["spans"] = {}


@events.test_stop.add_listener
def ended(**_):
    for span in spans.values():
        span.append(perf_counter())


class Timed(SocketIOUser):
    abstract = True
    fixed_count = 1
    options = {"transports": ["websocket"], "version": 4}
    name = ""

    def on_start(self):
        self.sio.connect()
        spans[self.name] = [perf_counter()]

    def stop(self, force=False):
        spans[self.name].append(perf_counter())
        return super().stop(force)


class Paced(Timed):
    wait_time = paced(RATE)
    name = "paced"

    @task
    def work(self):
        self.sio.call("work", self.name, name=self.name)


class Scheduled(Timed):
    wait_time = constant(1)
    name = "scheduled"

    def on_start(self):
        super().on_start()
        self.sio.schedule("work", self.name, rate=RATE, name=self.name)

    @task
    def rest(self):
        """The schedule works by itself."""
