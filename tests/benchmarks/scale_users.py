"""The locustfile of `scale.py`: SIOLOAD_SCALE says which of the users below are simulated.

crowd: those of locustfiles/idle_crowd.py, each with one acknowledged emit per 10 s. tls: those users as they
are, over TLS, on the servers of SIOLOAD_SERVERS in turn, which SIOLOAD_CA vouches for. broadcast: users who
only receive; when each copy was recorded is written to SIOLOAD_ROUNDS at the end. master: any, as nobody
simulates them.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from array import array
from pathlib import Path
from typing import Any

from locust import constant, events, task

from sioload import SocketIOUser
from sioload.client.dispatcher import Handler
from sioload.measure.rows import Row
from sioload.net.fleet import fleet_of

PART = os.environ["SIOLOAD_SCALE"]
PERIOD = 10.0  # seconds between two emits of a user
recorded, times = array("d"), array("d")

if PART in ("crowd", "tls"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "locustfiles"))
    import idle_crowd

if PART == "tls":
    SERVERS = itertools.cycle(os.environ["SIOLOAD_SERVERS"].split())

    class Secure(idle_crowd.Bystander):
        options = {**idle_crowd.Bystander.options, "ca_file": os.environ["SIOLOAD_CA"]}

        def __init__(self, environment: Any) -> None:
            self.host = next(SERVERS)
            super().__init__(environment)

elif PART == "crowd":

    class Regular(idle_crowd.Bystander):
        wait_time = constant(PERIOD)
else:

    class Receiver(SocketIOUser):
        wait_time = constant(3600)
        options = {"version": 4, "transports": ["websocket"], "connect_jitter": 1.0}

        @task
        def listen(self) -> None:
            pass

    # The stamp in the push is read, and no code of the user's runs.
    Receiver._handlers = {("/", "news"): Handler(None, sent_at=lambda message: message["sent"])}


def note(row: Row, seconds: float | None, message: str | None) -> None:
    """Notes when each sample was recorded, and the sample: together they tell which broadcast it was."""
    if row.type == "PUSH" and seconds is not None:
        recorded.append(time.time())
        times.append(seconds)


def rounds() -> list[list[float]]:
    """Of each broadcast: when it was sent, when its first and its last copy were recorded, and copies."""
    found: list[list[float]] = []
    for sent, at in sorted((at - seconds, at) for at, seconds in zip(recorded, times, strict=True)):
        if not found or sent > found[-1][0] + 0.05:
            found.append([sent, at, at, 0])
        newest = found[-1]
        newest[1], newest[2], newest[3] = min(newest[1], at), max(newest[2], at), newest[3] + 1
    return found


if PART == "broadcast":

    @events.init.add_listener
    def note_pushes(environment: Any, **_: Any) -> None:
        fleet_of(environment).recorder.listen(note)

    @events.quit.add_listener
    def write(**_: Any) -> None:
        Path(os.environ["SIOLOAD_ROUNDS"]).write_text(json.dumps({"rounds": rounds()}))
