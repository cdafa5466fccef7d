"""Users that talk to each other from different processes, and know the truth by a clock that they share.

The processes of one machine read the same monotonic clock, whatever their wall clocks say.
"""

import os
import time
from time import perf_counter

import hooks
from locust import task

from sioload import SocketIOUser, on, paced, stamp

#: What was recorded of each push from another process, and what its way really took, in seconds.
pairs = hooks.told["pairs"] = []
hooks.told["wall"] = time.time() - perf_counter()
truth = {}


def sent_at(message):
    """Called on arrival, just before the push is recorded."""
    truth["way"] = perf_counter() - message["at"] if message["from"] != os.getpid() else None
    return message["sent"]


class Talker(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4}
    wait_time = paced(5)

    @task
    def say(self):
        self.sio.call("message", {"sent": stamp(), "at": perf_counter(), "from": os.getpid()})

    @on("message", sent_at=sent_at)
    def heard(self, message):
        pass


keep = hooks.Row.add


def add(row, seconds):
    keep(row, seconds)
    if row.type == "PUSH" and truth["way"] is not None:
        pairs.append((seconds, truth["way"]))


hooks.Row.add = add
