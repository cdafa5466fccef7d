"""A paced user, and with BURN=1 a greenlet that keeps its process busy for other reasons."""

import os
from time import perf_counter

import gevent
from locust import events, task

from sioload import SocketIOUser, paced


class Steady(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4}
    wait_time = paced(10)

    @task
    def ask(self):
        self.sio.call("anything", 1)


def burn():
    while True:
        until = perf_counter() + 0.03
        while perf_counter() < until:
            pass
        gevent.sleep(0.03)


@events.test_start.add_listener
def start(**_):
    if "BURN" in os.environ:
        gevent.spawn(burn)
