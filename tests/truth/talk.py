"""Users that talk to each other from different processes, and know the truth by a clock that they share.

The processes of one machine read the same monotonic clock, whatever their wall clocks say.
"""

import os
import time
from time import perf_counter

import hooks
from locust import task

from sioload import SocketIOClient, SocketIOUser, on, paced, stamp

#: What was recorded of each push from another process, and the least and the most its way took, in seconds.
#: (A busy machine may stop a process between two looks at the clock.)
ways = hooks.told["ways"] = []
hooks.told["wall"] = time.time() - perf_counter()
truth = {}


def sent_at(message):
    """Called on arrival, while the push is measured."""
    least, most = truth["arrived"] - message["after"], perf_counter() - message["before"]
    truth["way"] = (least, most) if message["from"] != os.getpid() else None
    return message["sent"]


class Talker(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4}
    wait_time = paced(5)

    @task
    def say(self):
        before, sent, after = perf_counter(), stamp(), perf_counter()
        self.sio.call("message", {"before": before, "sent": sent, "after": after, "from": os.getpid()})

    @on("message", sent_at=sent_at)
    def heard(self, message):
        pass


keep_sample, take_event = hooks.Row.add, SocketIOClient.on_event


def add(row, seconds):
    keep_sample(row, seconds)
    if row.type == "PUSH" and truth["way"] is not None:
        ways.append((seconds, *truth["way"]))


def on_event(client, *args):
    truth["arrived"] = perf_counter()
    take_event(client, *args)


hooks.Row.add = add
SocketIOClient.on_event = on_event
