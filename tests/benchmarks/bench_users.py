"""The locustfile of the benchmark: the same users for every client, only the import differs."""

from __future__ import annotations

import importlib
import random
import sys
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from locust import User, events, task
from meter import Job, Tally, used_kib

JOB = Job.given()
HOMES = {
    "sioload": "sioload",
    "room": "sioload",
    "handler": "sioload",
    "locust": "locust.contrib.socketio",
}
Base: Any = importlib.import_module(HOMES[JOB.client]).SocketIOUser if JOB.client in HOMES else User

TALLY = Tally()
GO = Event()  # opened at once, except when connecting is what is measured
CONNECTING = BoundedSemaphore(50)
PERIOD = JOB.users / JOB.rate if JOB.rate else 0.0


class BenchUser(Base):  # type: ignore[misc]
    """Connects, then does its job's work."""

    host = JOB.url
    options = {"version": 4, "ca_file": JOB.ca or None} if HOMES.get(JOB.client) == "sioload" else {}
    n = 0
    slot = 0.0

    def on_start(self) -> None:
        if JOB.client != "empty":
            GO.wait()
            with CONNECTING:
                self.sio.connect(self.host, transports=JOB.transports, wait_timeout=60)
        TALLY.connected += 1
        gevent.sleep(random.uniform(0, PERIOD))
        self.slot = perf_counter()

    def wait_time(self) -> float:
        """Until the next slot when there is a rate, else not at all; users without work sleep."""
        if not PERIOD:
            return 0 if JOB.mode == "ack" else 3600
        now = perf_counter()
        self.slot = max(now, self.slot + PERIOD)
        return self.slot - now

    @task
    def work(self) -> None:
        if JOB.mode != "ack":
            return
        self.n = n = self.n + 1
        reply = self.sio.call("echo", {"text": "hello", "n": n})
        if reply["n"] != n:
            raise AssertionError(f"wrong ack: {reply}")
        TALLY.ops += 1


if HOMES.get(JOB.client) == "sioload":
    from sioload.client.dispatcher import Handler
    from sioload.net.fleet import fleet_of

    def hear(message: dict[str, Any]) -> None:
        if message["n"] <= 0:
            raise AssertionError(f"wrong push: {message}")

    # The stamp in the push is read, and no code of the user's runs unless that is what is measured.
    heard = Handler(hear if JOB.client == "handler" else None, sent_at=lambda message: message["sent"])
    if JOB.client == "room":
        heard.room, heard.audience = lambda message: ("*", message["n"]), "news"
    BenchUser._handlers = {("/", "news"): heard}


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
    if JOB.mode != "push":
        return
    if HOMES.get(JOB.client) == "sioload":
        TALLY.ops = fleet_of(runner.environment).recorder.row("PUSH", "news").totals().count
    else:
        TALLY.ops = runner.stats.entries["news", "WSR"].num_requests


def run(runner: Any) -> None:
    try:
        JOB.finish(measure(runner))
    except TimeoutError as error:
        print(f"benchmark: {error}", file=sys.stderr)
    runner.quit()


def begin(environment: Any, **_: Any) -> None:
    if JOB.mode != "connect":
        GO.set()
    gevent.spawn(run, environment.runner)


hook: Any = events.test_start
hook.add_listener(begin)
