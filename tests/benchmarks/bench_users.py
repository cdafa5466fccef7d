"""The locustfile of the benchmark: the same users for every client, only the import differs."""

from __future__ import annotations

import random
import sys
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from locust import User, constant, constant_pacing, events, task
from meter import Job, Tally, used_kib

JOB = Job.given()
if JOB.client == "sioload":
    from sioload import SocketIOUser as Base
elif JOB.client == "locust":
    from locust.contrib.socketio import SocketIOUser as Base
else:
    Base = User

TALLY = Tally()
GO = Event()  # opened at once, except when connecting is what is measured
CONNECTING = BoundedSemaphore(50)
PERIOD = JOB.users / JOB.rate if JOB.rate else 0.0


class BenchUser(Base):
    """Connects, then does its job's work."""

    host = JOB.url
    wait_time = constant(3600) if JOB.mode != "ack" else constant_pacing(PERIOD) if PERIOD else constant(0)
    options = {"version": 4} if JOB.client == "sioload" else {}
    n = 0

    def on_start(self) -> None:
        if JOB.client != "empty":
            GO.wait()
            with CONNECTING:
                self.sio.connect(self.host, transports=JOB.transports, wait_timeout=60)
        TALLY.connected += 1
        gevent.sleep(random.uniform(0, PERIOD))

    @task
    def work(self) -> None:
        if JOB.mode != "ack":
            return
        self.n = n = self.n + 1
        reply = self.sio.call("echo", {"text": "hello", "n": n})
        if reply["n"] != n:
            raise AssertionError(f"wrong ack: {reply}")
        TALLY.ops += 1


def until(condition: Any, what: str) -> None:
    """Waits for a condition, at most two minutes."""
    with gevent.Timeout(120, TimeoutError(what)):
        while not condition():
            gevent.sleep(0.05)


def all_connected(count: int) -> None:
    until(lambda: TALLY.connected >= count, f"only {TALLY.connected} of {count} users connected")


def measure(runner: Any) -> dict[str, Any]:
    """The measured window, from the moment at which every user is ready."""
    if JOB.mode == "idle":
        all_connected(100)
        gevent.sleep(2)
        before = used_kib()
        runner.start(100 + JOB.users, spawn_rate=1000)
        all_connected(100 + JOB.users)
        gevent.sleep(2)
        return {"kib": (used_kib() - before) / JOB.users}
    if JOB.mode == "connect":
        until(lambda: runner.user_count >= JOB.users, "users did not start")
        gevent.sleep(0.5)
        TALLY.mark()
        GO.set()
        all_connected(JOB.users)
        TALLY.ops = TALLY.connected
        return TALLY.window()
    all_connected(JOB.users)
    gevent.sleep(1 + PERIOD)
    count(runner)
    TALLY.mark()
    gevent.sleep(JOB.seconds)
    count(runner)
    return TALLY.window()


def count(runner: Any) -> None:
    """Pushes are counted by what the client's own statistics recorded."""
    if JOB.mode == "push":
        TALLY.ops = sum(row.num_requests for row in runner.stats.entries.values() if row.name == "news")


def run(runner: Any) -> None:
    try:
        JOB.finish(measure(runner))
    except TimeoutError as error:
        print(f"benchmark: {error}", file=sys.stderr)
    runner.quit()


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    if JOB.mode != "connect":
        GO.set()
    gevent.spawn(run, environment.runner)
