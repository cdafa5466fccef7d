"""One slow user beside quick ones, on one server; prints what became of them as JSON.

usage: python slow.py URL OPTIONS(JSON) SECONDS BYTES_A_SECOND [CERTIFICATE]
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import locust  # noqa: F401  # patches first

import gevent  # isort: skip

from sioload.client.api import SocketIOClient
from sioload.net.fleet import Fleet

URL, GIVEN, SECONDS, RATE = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
PIECE = 1000
fleet = Fleet()


def client(**options: Any) -> SocketIOClient:
    sio = SocketIOClient(fleet, {**GIVEN, **options}, url=URL)
    sio.connect()
    return sio


def p99(seconds: float) -> float:
    """Of quick users' acks in the next seconds."""
    row = fleet.recorder.row("CALL", f"echo {len(quick)}")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for sio in quick:
            sio.call("echo", 1, name=row.name)
        gevent.sleep(0.01)
    value = row.totals().times.percentile(99)
    row.reset()
    return value


def feed() -> None:
    """The slow one asks for more than it takes; its own emits aren't what is slow."""
    begun, sent = time.perf_counter(), 0
    while True:
        while sent < (time.perf_counter() - begun) * RATE:
            slow.emit("push", ("big", "x" * PIECE))
            sent += PIECE
        gevent.sleep(0.05)


quick = [client() for _ in range(5)]
before = p99(1.0)
slow = client(read_rate=1024)
got = fleet.recorder.bytes_received
feeder = gevent.spawn(feed)
gevent.sleep(0.5)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
beside = p99(SECONDS)
rows = {f"{t.type} {t.name}": t.count for t in fleet.recorder.totals()}
taken = rows.get("RECV big", 0) * PIECE
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
told = {"before": before, "beside": beside, "taken": taken, "rows": rows, "grown_kib": grown,
        "connected": slow.connected, "transport": str(slow.transport)}  # fmt: skip
feeder.kill()
import urllib.request  # noqa: E402

if URL.startswith("http:"):
    with urllib.request.urlopen(URL + "/buffered") as answer:
        told["buffered"] = json.load(answer)
print(json.dumps(told))
fleet.drain(0.1)
