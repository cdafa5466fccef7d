"""Phones: some on a slow network, all of which lose it now and then, and come back.

A slow user takes 2,000 bytes a second, so that what the server sends to it waits in the server's buffers. A
walker loses its connection every half minute or so: half the time with a reset, half without a word, so that
the server believes it there until its heartbeat says otherwise.
"""

from __future__ import annotations

import random

from locust import between, constant, task

from sioload import EmitError, SocketIOUser, on


class Walker(SocketIOUser):
    """Talks, and loses its network."""

    host = "http://127.0.0.1:5000"
    weight = 3
    wait_time = between(1, 3)
    options = {"namespaces": ["/"], "reconnection_delay": 0.5}

    @task(10)
    def ask(self) -> None:
        """One small question."""
        self.sio.call("echo", {"a": 1}, timeout=5)

    @task
    def lose_the_network(self) -> None:
        """A tunnel, a lift, a changed cell: the server may hear of it or not."""
        self.sio.drop(silent=random.random() < 0.5)


class SlowPhone(SocketIOUser):
    """Listens to news, slower than they come when there are many."""

    host = "http://127.0.0.1:5000"
    wait_time = constant(5)
    options = {"namespaces": ["/"], "read_rate": 2000}

    def on_connected(self) -> None:
        """After each reconnect too: the server has forgotten the subscription."""
        try:
            self.sio.emit("subscribe", {"rate": 2})
        except EmitError:
            pass  # lost again; the next connect asks anew

    @on("news", sent_at=lambda news: news["sent"])
    def heard(self, news: dict[str, float]) -> None:
        """How late news come shows in the row PUSH news."""

    @task
    def ask(self) -> None:
        """Its answers wait behind the news."""
        self.sio.call("echo", {"a": 1}, timeout=20)
