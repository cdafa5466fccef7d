"""Users that talk to each other from different processes, and know the truth by a clock that they share.

The processes of one machine read the same monotonic clock, whatever their wall clocks say.
"""

import os
import time
from time import perf_counter

import hooks
from locust import events, task

import sioload.client.incoming
from sioload import SocketIOUser, on, paced, stamp
from sioload.net.fleet import fleet_of

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
        """It has something to do, so that it is called, and `sent_at` with it, for each user."""
        self.last = message


@events.init.add_listener
def listen(environment, **_):
    def keep(row, seconds, message):
        if row.type == "PUSH" and truth["way"] is not None:
            ways.append((seconds, *truth["way"]))

    fleet_of(environment).recorder.listen(keep)


def looked():
    """The client looks at the clock: as its last event arrived, when `sent_at` is called."""
    truth["arrived"] = now = perf_counter()
    return now


sioload.client.incoming.perf_counter = looked
