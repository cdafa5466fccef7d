"""The scenario of `sioload demo`: a small chat service with readers, talkers and visitors."""

from __future__ import annotations

import gevent
from locust import between, constant, task

from sioload import SocketIOUser, on, stamp
from sioload.cli import quiet


class Talker(SocketIOUser):
    """Logs in over HTTP, joins the chat, says something now and then and hears what all say."""

    weight = 2
    wait_time = between(3, 6)
    options = {"auth": {"token": "secret"}, "connect_jitter": 1.0}

    def on_start(self) -> None:
        """Log in, then connect with the cookie."""
        self.client.post("/login", json={"user": "ann"})
        self.sio.connect(namespaces=["/", "/chat"])

    @task
    def say(self) -> None:
        """A message that is acknowledged, and pushed to everybody."""
        self.sio.call(
            "message", {"text": "hi", "sent": stamp()}, namespace="/chat", ok=lambda reply: reply["ok"]
        )

    @on("message", namespace="/chat", sent_at=lambda message: message["sent"])
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
