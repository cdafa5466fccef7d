"""Users of `chat.js`: who they are is said by CHATTERS."""

from __future__ import annotations

import itertools
import os
import random
import uuid

import gevent
from locust import LoadTestShape, constant, task

from sioload import SocketIOUser, on, stamp

MANNER = os.environ["CHATTERS"]
TARGET = int(os.environ.get("DELIVERIES", "0"))
numbers = itertools.count()


class Chatter(SocketIOUser):
    """Joins rooms, and hears what is said there."""

    abstract = True
    wait_time = constant(0.1)
    options = {"transports": ["websocket"]}
    log = True

    def join(self, room):
        self.sio.call("join", (room, self.log))
        self.sio.rooms.add(room)

    def leave(self, room):
        self.sio.call("leave", room)
        self.sio.rooms.discard(room)

    def say(self, room, **more):
        message = {"room": room, "id": uuid.uuid4().hex, "sent": stamp(), "log": self.log, **more}
        self.sio.call("say", message)

    @on("message", sent_at=lambda m: m["sent"], room=lambda m: (m["room"], m["id"]))
    def heard(self, message): ...


class Sitting(Chatter):
    """Stays in one of two rooms, says ten things once all are there, and is quiet."""

    abstract = MANNER != "sitting"

    def on_start(self):
        self.sio.connect()
        self.room = f"room {next(numbers) // 2 % 2}"
        self.join(self.room)
        gevent.sleep(2.5)
        for _ in range(10):
            self.say(self.room)
            gevent.sleep(0.02)

    @task
    def listen(self):
        gevent.sleep(1)


class Talking(Chatter):
    """In one room with all others, where everyone goes on talking."""

    abstract = MANNER != "talking"

    def on_start(self):
        self.sio.connect()
        self.join("room")
        gevent.sleep(1.5)

    @task
    def talk(self):
        self.say("room")


class Stopped(Chatter):
    """Two talk; the others are stopped while they wait to be told that they have joined."""

    abstract = MANNER != "stopped"
    log = False

    def on_start(self):
        self.sio.connect()
        if next(numbers) < 2:
            self.join("room")
        else:
            gevent.spawn_later(2.0, self.stop, force=True)
            gevent.sleep(1.8)
            self.sio.call("enter", ("room", 1000))

    @task
    def talk(self):
        self.say("room")


class Slow(Chatter):
    """Ten in one room, of which the first says things that go out member by member."""

    abstract = MANNER != "slow"

    def on_start(self):
        self.sio.connect()
        self.number = next(numbers)
        self.join("room")
        gevent.sleep(2.5)

    @task
    def talk(self):
        if self.number == 0 and self.environment.runner.stats.num_requests < 1000:
            self.say("room", apart=20)


class Moving(Chatter):
    """Talks in rooms of 2 to hundreds, and comes and goes all the time."""

    abstract = MANNER != "moving"
    wait_time = constant(1.0 if TARGET > 100_000 else 0.5)
    options = {**Chatter.options, "connect_jitter": 5.0 if TARGET > 100_000 else 1.0}
    log = False

    def on_start(self):
        self.sio.connect()
        number = next(numbers)
        self.mine = [f"of {size}: {number // size}" for size in (2, 7, 30)] + ["all"]
        for room in self.mine:
            self.join(room)

    @task(8)
    def talk(self):
        rooms = list(self.sio.rooms)
        if rooms:
            self.say(random.choices(rooms, [1 if room == "all" else 8 for room in rooms])[0])

    @task(1)
    def move(self):
        room = random.choice(self.mine)
        if room in self.sio.rooms:
            self.leave(room)
        else:
            self.join(room)

    @task(1)
    def come_back(self):
        if random.random() < 0.1:
            self.sio.disconnect()
            self.sio.connect()
            for room in self.mine:
                self.join(room)


if MANNER == "moving":

    class UntilDelivered(LoadTestShape):
        """Goes on until so many messages have arrived; half of the users go in between, and others come.

        It takes time: who has just come, or goes within five seconds, is owed nothing.
        """

        def tick(self):
            arrived = self.runner.stats.get("message", "PUSH").num_requests
            users = self.runner.environment.parsed_options.num_users
            if arrived >= TARGET and self.get_run_time() > 30:
                return None
            return (users // 2 if 0.4 < arrived / TARGET < 0.6 else users), users
