"""Users that ask the server to answer late, and compare what is recorded with what the server measured."""

import os
import random
from time import perf_counter

import gevent
import hooks
from locust import constant, task

from sioload import SocketIOUser

#: Seconds, and how many users ask for them.
DELAYS = {float(delay): int(users) for delay, users in (p.split(":") for p in os.environ["DELAYS"].split())}
SECONDS = float(os.environ["SECONDS"])
differences = hooks.told["differences"] = {}


class Asking(SocketIOUser):
    abstract = True
    options = {"transports": ["websocket"], "version": 4}
    wait_time = constant(float(os.environ["PAUSE"]))
    delay = 0.0

    def on_start(self):
        self.sio.connect()
        # What is compared is neither the ramp-up nor the end of the run.
        self.until = perf_counter() + 2.0 + SECONDS
        gevent.sleep(2.0 + random.random() / 10)

    @task
    def ask(self):
        if perf_counter() + self.delay > self.until:
            gevent.sleep(60)
        name = f"delay {self.delay:g}"
        measured = self.sio.call("delay", self.delay, name=name)
        # Nothing else ran since this sample was recorded: the ack resumes its user at once.
        recorded = hooks.samples["CALL", name][-1]
        differences.setdefault(f"{self.delay:.3f}", []).append((recorded - measured) * 1e6)


for number, (delay, users) in enumerate(DELAYS.items()):
    globals()[f"Asking{number}"] = type(f"Asking{number}", (Asking,), {"delay": delay, "fixed_count": users})
