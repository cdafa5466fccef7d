"""A locustfile that runs long: calls, pushes, and now and then a new connection.

Each process writes what it holds before the users come and after they are gone, and its memory once a second,
into a file of the directory SOAK.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import between, events, task
from locust.runners import MasterRunner

from sioload import SocketIOUser, on, stamp
from sioload.net.fleet import fleet_of

sys.path.insert(0, str(Path(__file__).resolve().parent))

import census

FOLDER = Path(os.environ["SOAK"])
memory: list[int] = []
found: dict[str, Any] = {}


class Member(SocketIOUser):
    wait_time = between(2, 6)
    options = {"version": 4, "transports": ["websocket"]}

    def on_start(self) -> None:
        self.sio.connect()
        self.sio.call("subscribe", 0.2)

    @task(5)
    def talk(self) -> None:
        self.sio.call("echo", {"sent": stamp()}, timeout=30)

    @task(5)
    def tell(self) -> None:
        self.sio.emit("echo", "€😀é")

    @task(1)
    def come_again(self) -> None:
        self.sio.disconnect()
        self.sio.connect()
        self.sio.call("subscribe", 0.2)

    @on("news")
    def heard(self, news: Any) -> None:
        pass

    @on("echo")
    def echoed(self, text: str) -> None:
        pass


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        return  # it has no users
    found["before"] = census.count(fleet_of(environment))
    gevent.spawn(watch)


def watch() -> None:
    while "after" not in found:
        memory.append(census.rss())
        gevent.sleep(1.0)


@events.quitting.add_listener
def end(environment: Any, **_: Any) -> None:
    if not memory:
        return
    fleet = fleet_of(environment)
    gevent.sleep(0.5)
    found["after"] = census.count(fleet)
    told = {**found, "memory": memory, "internal": fleet.recorder.internal_errors}
    (FOLDER / f"{os.getpid()}.json").write_text(json.dumps(told))
