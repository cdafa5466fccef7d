"""Users who connect and are silent: only heartbeats pass."""

from __future__ import annotations

import os

from locust import constant, task

from sioload import SocketIOUser


class Silent(SocketIOUser):
    wait_time = constant(3600)
    options = {"version": int(os.environ["VERSION"])}

    @task
    def nothing(self) -> None:
        """Connecting is all."""
