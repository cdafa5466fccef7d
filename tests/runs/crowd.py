"""A crowd of connected users with a handler each, who sleep; tells what the process holds meanwhile.

usage: python crowd.py URL USERS SECONDS
"""

from __future__ import annotations

import gc
import inspect
import json
import sys

import locust

import gevent  # isort: skip
from greenlet import greenlet
from locust.env import Environment

from sioload import SocketIOUser, on
from sioload.net.fleet import fleet_of

URL, USERS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
heard = 0


class Sleeper(SocketIOUser):
    host = URL
    wait_time = locust.constant(10_000)
    options = {"transports": ["websocket"], "connect_jitter": USERS / 500}

    @locust.task
    def sleep(self) -> None:
        gevent.sleep(10_000)

    @on("message")
    def hear(self, message: object) -> None:
        global heard
        heard += 1


def greenlets() -> int:
    gc.collect()
    return sum(isinstance(thing, greenlet) and not thing.dead for thing in gc.get_objects())


def main() -> None:
    environment = Environment(user_classes=[Sleeper])
    runner = environment.create_local_runner()
    before = greenlets()
    runner.start(USERS, spawn_rate=USERS)
    recorder = fleet_of(environment).recorder
    with gevent.Timeout(60):
        while recorder.row("CONNECT", "/").totals().count < USERS:
            gevent.sleep(0.1)
    gevent.sleep(SECONDS)
    idle = greenlets() - before
    connections = recorder.connections.encode()
    first = next(iter(runner.user_greenlets)).args[0]
    first.sio.emit("message", {"text": "to all"})
    with gevent.Timeout(20):
        while heard < USERS:
            gevent.sleep(0.05)
    gevent.sleep(0.2)
    print(
        json.dumps(
            {
                "greenlets": idle,
                "after_a_broadcast": greenlets() - before,
                "heard": heard,
                "young": gc.get_threshold()[0],
                "opened": connections["opened"],
                "closed": connections["closed"],
                "heartbeats": recorder.row("HEARTBEAT", "ping").totals().count,
                "internal_errors": recorder.internal_errors,
                "looked_up": len(inspect.modulesbyfile),  # type: ignore[attr-defined]
            }
        ),
        flush=True,
    )
    runner.stop()
    fleet_of(environment).drain()


main()
