"""Simulated users in a process of their own, told by lines of JSON on standard input what to do.

Each command is answered by one line of JSON. One process runs many scenarios, each on a fleet of its own,
which shows by itself that the process outlives every fault.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402  (gevent must patch first)
import gc  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, get_args  # noqa: E402

import gevent  # noqa: E402
from gevent.fileobject import FileObjectThread  # noqa: E402

from sioload.client.api import SocketIOClient  # noqa: E402
from sioload.errors import ConnectError, EmitError, Reason  # noqa: E402
from sioload.net.fleet import Fleet  # noqa: E402
from sioload.net.resolve import Address  # noqa: E402
from sioload.socketio.backoff import backoff  # noqa: E402
from sioload.socketio.generations import VERSIONS, Generation  # noqa: E402

PAUSE = 0.01  # seconds between two emits of a user


def peak() -> int:
    """The most memory this process has had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


class User:
    """Connects, works, and comes back, as a `SocketIOUser` does under Locust."""

    def __init__(self, group: Group, fleet: Fleet) -> None:
        self.group = group
        self.sio = SocketIOClient(fleet, group.options, url=group.url, user=self)
        self.greenlet = gevent.spawn(self.run)

    def on_connected(self) -> None:
        self.group.ups.append(time.monotonic())

    def on_disconnected(self, reason: str) -> None:
        self.group.lost.append(reason)
        self.group.downs.append(time.monotonic())

    def run(self) -> None:
        work: Callable[[], None] = getattr(self, self.group.work)
        attempt = 0
        options = self.sio.options
        while True:
            try:
                self.sio.connect(namespaces=self.group.namespaces)
                attempt = 0
                while self.sio.used and self.sio._manager.phase.name != "IDLE":
                    if self.sio.kicked:
                        self.sio.rejoin_patiently()
                    work()
            except ConnectError as error:
                self.group.refused.append((error.stage, error.reason))
                self.sio.pause(
                    backoff(attempt, options.reconnection_delay, options.reconnection_delay_max, 0.5)
                )
                attempt += 1

    def _tried(self, emit: Callable[[], Any]) -> None:
        try:
            emit()
            self.group.done += 1
        except (EmitError, gevent.Timeout) as error:
            self.group.raised[type(error).__name__] += 1

    def echo(self) -> None:
        text = self.group.payload
        self._tried(lambda: self.sio.call("echo", text))
        gevent.sleep(PAUSE)

    def binary(self) -> None:
        self._tried(lambda: self.sio.call("echo", self.group.payload.encode()))
        gevent.sleep(PAUSE)

    def emit(self) -> None:
        self._tried(lambda: self.sio.emit("silent", self.group.payload))
        gevent.sleep(PAUSE)

    def unanswered(self) -> None:
        self._tried(lambda: self.sio.call("silent"))

    def flood(self) -> None:
        self._tried(lambda: self.sio.emit("silent", self.group.payload))
        gevent.sleep(0.0 if len(self.group.payload) > 1000 else PAUSE)

    def idle(self) -> None:
        gevent.sleep(0.02)


class Group:
    """Users with one server, and what they saw."""

    def __init__(self, fleet: Fleet, asked: dict[str, Any]) -> None:
        self.url: str = asked["url"]
        self.options: dict[str, Any] = asked.get("options", {})
        self.work: str = asked.get("work", "echo")
        self.namespaces: list[str] = asked.get("namespaces", ["/"])
        self.payload = "€" * asked.get("size", 5)
        self.ups: list[float] = []
        self.downs: list[float] = []
        self.lost: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.raised: Counter[str] = Counter()
        self.done = 0
        self.users = [User(self, fleet) for _ in range(asked.get("users", 1))]

    def figures(self) -> dict[str, Any]:
        return {
            "ups": self.ups,
            "downs": self.downs,
            "lost": self.lost,
            "refused": self.refused,
            "raised": dict(self.raised),
            "done": self.done,
            "connected": sum(user.sio.connected for user in self.users),
            "transports": dict(Counter(str(user.sio.transport) for user in self.users)),
        }


class Known(dict[Any, Generation]):
    """What servers speak, already found out, and never forgotten: scripted servers needn't answer probes."""

    def get(self, key: Any, default: Any = None) -> Generation:
        version = key[-1]
        return VERSIONS[version]

    def pop(self, key: Any, default: Any = None) -> None:
        return None


class Driver:
    """The commands. Each method's name is one."""

    def __init__(self) -> None:
        self.baseline = self.census()
        self._begin()

    def _begin(self) -> None:
        self.fleet = Fleet()
        self.groups: dict[str, Group] = {}

    @staticmethod
    def census() -> dict[str, int]:
        """What must not grow."""
        gc.collect()
        return {
            "fds": len(os.listdir("/proc/self/fd")),
            "greenlets": sum(isinstance(o, gevent.Greenlet) and not o.dead for o in gc.get_objects()),
            "rss_kib": peak(),
        }

    def open(self, group: str, *, probe: bool = False, **asked: Any) -> dict[str, Any]:
        """Start users; returns at once. With `probe` they find out first what their server speaks."""
        self.fleet.generations = {} if probe else Known()
        for name, addresses in asked.pop("names", {}).items():
            host, port = name.rsplit(":", 1)
            known = [Address(family, tuple(where)) for family, where in addresses]
            self.fleet.resolver._known[host, int(port)] = (float("inf"), known)
        self.groups[group] = Group(self.fleet, asked)
        return {}

    def wait(self, group: str, what: str, n: int = 1, timeout: float = 10.0) -> dict[str, Any]:
        """Wait until a group has seen something `n` times; the figures, and whether it came to that."""
        watched = self.groups[group]
        begun = time.monotonic()
        while time.monotonic() - begun < timeout:
            value = watched.figures()[what]
            if (value if isinstance(value, int) else len(value)) >= n:
                break
            gevent.sleep(0.005)
        value = watched.figures()[what]
        return {
            "ok": (value if isinstance(value, int) else len(value)) >= n,
            "seconds": time.monotonic() - begun,
            **watched.figures(),
        }

    def rss(self) -> dict[str, Any]:
        """Memory in use now; the peak counts from here (proc_pid_clear_refs, 5)."""
        Path("/proc/self/clear_refs").write_text("5")
        return {"kib": peak()}

    def sleep(self, seconds: float) -> dict[str, Any]:
        gevent.sleep(seconds)
        return {}

    def clock(self) -> dict[str, Any]:
        """The wall clock as this process sees it."""
        return {"time": time.time()}

    def status(self) -> dict[str, Any]:
        """Everything counted so far."""
        recorder = self.fleet.recorder
        rows = [
            {"type": t.type, "name": t.name, "count": t.count, "failures": t.failures, "errors": t.errors,
             "max": t.times.max if t.times.total else None}
            for t in recorder.totals()
        ]  # fmt: skip
        return {
            "ledger": recorder.ledger.encode(),
            "rows": rows,
            "closed": recorder.connections.closed,
            "opened": recorder.connections.opened,
            "current": recorder.connections.encode()["current"],
            "internal": recorder.internal_errors,
            "groups": {name: group.figures() for name, group in self.groups.items()},
        }

    def end(self, drain: float = 1.0) -> dict[str, Any]:
        """Stop the users, drain, judge what is left; the next scenario gets a new fleet."""
        users = [user for group in self.groups.values() for user in group.users]
        gevent.killall([user.greenlet for user in users])
        for user in users:
            user.sio.release()
        self.fleet.drain(drain)
        figures = self.status()
        figures["members"] = len(self.fleet.members)
        figures["deadlines"] = len(self.fleet.deadlines)
        figures["probes"] = len(self.fleet.probes)
        del users
        self._begin()
        with contextlib.suppress(gevent.Timeout), gevent.Timeout(2.0):
            while (now := self.census())["fds"] > self.baseline["fds"]:
                gevent.sleep(0.01)
        figures["census"], figures["baseline"] = now, self.baseline
        return figures


def main() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    lines = FileObjectThread(sys.stdin.buffer)
    driver = Driver()
    gevent.sleep(0.05)  # the thread that reads is part of the baseline
    out = sys.stdout
    print(json.dumps({"reasons": get_args(Reason)}), file=out, flush=True)
    for line in lines:
        asked = json.loads(line)
        if driver.groups == {}:
            driver.baseline = driver.census()
        print(json.dumps(getattr(driver, asked.pop("do"))(**asked)), file=out, flush=True)


if __name__ == "__main__":
    main()
