"""Users of three generations in one process, each on its own server; rows are kept apart by name."""

from __future__ import annotations

import os

from locust import constant, task

from sioload import SocketIOUser


class Mixed(SocketIOUser):
    abstract = True
    wait_time = constant(0.05)
    generation = ""

    @task
    def echo(self) -> None:
        text = f"{self.generation} €😀é"
        self.sio.call("echo", text, ok=lambda reply: reply == text, name=f"{self.generation} echo")


class Old(Mixed):
    host = os.environ["SERVER_0"]
    options = {"version": 0, "transports": ["websocket"]}
    generation = "0.9"


class Middle(Mixed):
    host = os.environ["SERVER_2"]
    options = {"version": 2}
    generation = "2.x"


class New(Mixed):
    host = os.environ["SERVER_4"]
    options = {"version": 4, "transports": ["polling"]}
    generation = "4.x"
