"""The scenario of `sioload demo`: a small chat service with readers, talkers and visitors."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from pathlib import Path
from typing import Any

import click
import gevent
from locust import between, constant, events, task

from sioload import SocketIOUser, on, stamp
from sioload.cli import quiet
from sioload.cli.demo import ANEW

_rooms = itertools.cycle(("kitchen", "garden", "attic"))
_begun = itertools.count()


def _began(**_: object) -> None:
    """Figures begin: tell how long it took from `make demo` until here; or, in the web UI, they begin anew,
    and the server has counted more than they tell."""
    if next(_begun):
        if told := os.environ.get(ANEW):
            Path(told).touch()
        return
    times = os.environ.get("SIOLOAD_DEMO", "").split()  # seconds since the epoch: make's start, and installed
    if len(times) == 2:
        begun, installed = map(int, times)
        took, installing = time.time() - begun, installed - begun
        click.echo(f"load began {took:.0f} s after make demo, {installing} s of which were for installing")


def _whole(environment: Any, **_: object) -> None:
    """The server counts from the first user on, whatever a project's locust.conf says of --reset-stats."""
    environment.reset_stats = False


_events: Any = events
_events.init.add_listener(_whole)
_events.test_start.add_listener(_began)
_events.reset_stats.add_listener(_began)


class Talker(SocketIOUser):
    """Logs in over HTTP, joins a room of the chat, says something now and then and hears what others say."""

    weight = 2
    wait_time = between(3, 6)
    options = {"auth": {"token": "secret"}, "connect_jitter": 1.0}

    def on_start(self) -> None:
        """Log in, then connect with the cookie."""
        self.client.post("/login", json={"user": "ann"})
        self.sio.connect(namespaces=["/", "/chat"])

    def on_connected(self) -> None:
        """Join a room, after a reconnect too."""
        self.room = next(_rooms)
        self.sio.call("join", {"room": self.room}, namespace="/chat", ok=lambda reply: reply["ok"])
        self.sio.rooms.add(self.room)

    @task
    def say(self) -> None:
        """A message that is acknowledged, and pushed to everybody in the room."""
        message = {"room": self.room, "id": uuid.uuid4().hex, "text": "hi", "sent": stamp()}
        self.sio.call("message", message, namespace="/chat", ok=lambda reply: reply["ok"])

    @on(
        "message",
        namespace="/chat",
        sent_at=lambda message: message["sent"],
        room=lambda message: (message["room"], message["id"]),
    )
    def heard(self, message: object) -> None:
        """Measured on arrival; there is nothing to do."""


class Reader(SocketIOUser):
    """Follows the news, and pokes the server without waiting for it."""

    weight = 6
    wait_time = between(3, 6)
    options = {"connect_jitter": 1.0}

    def on_start(self) -> None:
        """Connect and ask for news."""
        self.sio.connect()
        self.sio.call("subscribe", {"rate": 1})

    @task
    def poke(self) -> None:
        """No ack is asked for; the server answers with an event of its own."""
        self.sio.emit("echo", {"text": "still there?"})

    @on("news", sent_at=lambda news: news["sent"], delivery=lambda news: ("news", news["n"]))
    def heard(self, news: object) -> None:
        """Measured on arrival, and checked for gaps."""


class Visitor(SocketIOUser):
    """Comes, asks one thing and goes, again and again."""

    weight = 2
    wait_time = constant(1)
    options = {"connect_jitter": 1.0}

    @task
    def visit(self) -> None:
        """One session."""
        if not self.sio.connected:
            self.sio.connect()
        self.sio.call("echo", "anybody here?")
        gevent.sleep(4)
        self.sio.disconnect()


quiet.install()
