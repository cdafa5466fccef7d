"""The scenario of `sioload try URL` without an event to emit: a user that connects and listens."""

from __future__ import annotations

from locust import task

from sioload import SocketIOUser


class Listener(SocketIOUser):
    """Connects and listens."""

    @task
    def listen(self) -> None:
        """Nothing but what comes by itself."""
