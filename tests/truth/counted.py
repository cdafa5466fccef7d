"""Users that make a known number of emits, each with a number of its own, and tell what became of them.

On the master of a run with MESS=1, the workers' reports get lost, come twice, and come late: an old one
after a newer one. Only the last one of a worker comes as it should, or the run would rightly say that it is
missing.
"""

import copy
import os
import random
from itertools import count

import hooks
from locust import LoadTestShape, constant, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner

from sioload import EmitError, NotConnected, SocketIOUser

USERS, EMITS = int(os.environ["USERS"]), int(os.environ["EMITS"])
serial = count()
acked, not_sent, unknown = ([] for _ in range(3))
hooks.told.update(acked=acked, not_sent=not_sent, unknown=unknown)


class Counting(SocketIOUser):
    options = {"transports": ["websocket"], "version": 4, "ack_timeout": 2.0, "connect_timeout": 2.0,
               "reconnection_delay": 0.2, "reconnection_delay_max": 0.5}  # fmt: skip
    wait_time = constant(0)

    @task
    def work(self):
        for _ in range(EMITS // USERS):
            number = os.getpid() * 10_000_000 + next(serial)
            try:
                self.sio.call("work", number)
                acked.append(number)
            except NotConnected:
                not_sent.append(number)
            except EmitError:
                unknown.append(number)
        raise StopUser


class UntilAllAreDone(LoadTestShape):
    started = False

    def tick(self):
        there = self.runner.user_count
        if self.started and not there:
            return None
        self.started = self.started or there == USERS
        return USERS, USERS


@events.init.add_listener
def mess(environment, **_):
    if not isinstance(environment.runner, MasterRunner) or "MESS" not in os.environ:
        return
    handle, chance, first = environment.runner.handle_message, random.Random(4), {}
    hooks.told["mess"] = fates = {"lost": 0, "twice": 0, "late": 0}

    def handle_message(client_id, message):
        if message.type != "stats":
            handle(client_id, message)
            return
        copies = [copy.deepcopy(message) for _ in range(2)]
        report = message.data["sioload"]
        final = report["final"]
        if report["snapshot"]["ledger"]["emits"]:  # the test has begun
            first.setdefault(client_id, copies[0])
        fate = "late" if final else chance.choice(["lost", "twice", "late"])
        fates[fate] += 1
        if fate != "lost":
            handle(client_id, message)
        if fate == "twice":
            handle(client_id, copies[1])
        elif fate == "late" and client_id in first:
            stale = copy.deepcopy(first[client_id])
            for name in ("user_count", "user_classes_count"):  # Locust's, by which this run knows its end
                stale.data[name] = message.data[name]
            handle(client_id, stale)

    environment.runner.handle_message = handle_message
