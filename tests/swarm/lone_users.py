"""A locustfile of the swarm's tests: users that talk fast, and that stop slowly when asked to."""

import os
import random

import gevent
from locust import constant, events, task

from sioload import SocketIOUser, on, stamp
from sioload.net import clock

SLOW_STOP = float(os.environ.get("SLOW_STOP", "0"))
OWED = float(os.environ.get("OWED", "0"))
NAMES = int(os.environ.get("NAMES", "0"))
LISTEN = os.environ.get("LISTEN")
heard = {}

# A machine whose clock is wrong.
clock._base = clock.zero = clock._base + float(os.environ.get("SKEW", "0"))


class Talker(SocketIOUser):
    wait_time = constant(float(os.environ.get("WAIT", "0.1")))
    options = {"transports": ["websocket"], "version": 4}

    @task
    def talk(self):
        self.sio.call("echo", {"n": 1}, timeout=5)
        self.sio.emit("echo")
        if "SKEW" in os.environ and random.random() < 0.1:
            self.sio.emit("message", {"sent": stamp()})
        if OWED:
            self.sio.emit("delay", OWED, callback=lambda *_: None)
        if NAMES:
            name = f"{os.getpid()}-{random.randrange(NAMES)}"
            self.sio.call("echo", 1, name=name)
        if "FAIL" in os.environ:
            self.sio.call("echo", 2, ok=lambda reply: False, name="refused")

    @task
    def slow(self):
        """Most users are killed in here: the ack comes after they are gone."""
        if "SLOW_CALL" in os.environ:
            self.sio.call("delay", 0.5, timeout=5)

    @on("message", sent_at=lambda message: message["sent"])
    def told(self, message):
        pass

    def on_stop(self):
        gevent.sleep(SLOW_STOP)


if LISTEN:

    @events.request.add_listener
    def listen(request_type, name, response_time, exception, **_):
        count, failures, timed = heard.get((request_type, name), (0, 0, 0))
        heard[request_type, name] = (
            count + 1,
            failures + bool(exception),
            timed + (response_time is not None),
        )

    @events.quit.add_listener
    def write(**_):
        with open(LISTEN, "w") as file:
            for (kind, name), numbers in heard.items():
                print(kind, name, *numbers, sep="\t", file=file)
