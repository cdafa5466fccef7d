"""A locustfile of the swarm's tests: users and listeners that have something to say at the end."""

import os
import sys

import gevent
from locust import constant, events, task

from sioload import EmitError, SocketIOUser

ENDER = os.environ.get("ENDER", "")
users = []


def say(text):
    print(text, file=sys.stderr, flush=True)


class Leaver(SocketIOUser):
    wait_time = constant(0.05)
    options = {"transports": ["websocket"], "version": 4}

    def on_start(self):
        self.sio.connect()
        users.append(self)
        gevent.spawn(self.chatter)

    def chatter(self):
        """A greenlet of the script's own, which only GreenletExit ends."""
        try:
            while True:
                try:
                    self.sio.call("echo", 1, name="chatter")
                except Exception as error:  # noqa: BLE001
                    say(f"chatter got {error!r}")
                gevent.sleep(0.05)
        finally:
            say("chatter ended")

    @task
    def talk(self):
        self.sio.call("delay", 0.1)
        if ENDER and len(users) >= 5 and self is users[1]:
            gevent.sleep(0.5)
            getattr(self.environment.runner, ENDER)()

    def on_stop(self):
        self.sio.emit("echo", 1, name="bye")
        gevent.sleep(float(os.environ.get("SLOW_STOP", "0.5")))
        self.sio.call("echo", 1, name="left")
        self.sio.disconnect()
        say("on_stop done")


@events.test_start.add_listener
def forget(**_):
    users.clear()


def listen(environment, **_):
    if users:
        gevent.sleep(0.2)
        users[0].sio.call("echo", 1, name="room closed")
        say("listener done")


def too_late(**_):
    for user in users[:1]:
        for what in (user.sio.emit, user.sio.call, user.sio.expect):
            try:
                what("echo")
            except EmitError as error:
                say(f"got {type(error).__name__}")


events.test_stop.add_listener(listen)


@events.init.add_listener
def more(environment, **_):
    """Listeners that come after those of sioload."""
    environment.events.test_stopping.add_listener(listen)
    environment.events.test_stop.add_listener(listen)
    environment.events.quitting.add_listener(too_late)
    environment.events.quit.add_listener(too_late)
