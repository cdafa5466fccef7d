"""A paced user, and with HOLD a greenlet that holds its process's event loop up: with CPU, or without.

`HOLD=cpu` or `sleep`, `SPAN` and `PAUSE` in seconds, and with `CORE` all on one core, once the load begins.
"""

import os
from time import perf_counter

import gevent
from gevent.monkey import get_original
from locust import events, task

from sioload import SocketIOUser, paced

HOW = os.environ.get("HOLD")
SPAN, PAUSE = (float(os.environ.get(name, 0.03)) for name in ("SPAN", "PAUSE"))
sleep = get_original("time", "sleep")


class Steady(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4}
    wait_time = paced(10)

    @task
    def ask(self):
        self.sio.call("anything", 1)


def compute(seconds):
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


def hold():
    while True:
        (compute if HOW == "cpu" else sleep)(SPAN)
        gevent.sleep(PAUSE)


@events.test_start.add_listener
def start(**_):
    if "CORE" in os.environ:
        os.sched_setaffinity(0, {int(os.environ["CORE"])})
    if HOW:
        gevent.spawn(hold)
