"""Silent users on old servers: heartbeats every 2 s keep every connection."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import serverkit
from conformance.table import SERVERS

OLD = ("socket.io 0.9.19", "socket.io 1.7.4", "socket.io 2.5.1")
INTERVAL = 2.0  # seconds
BEATS = ("--ping-interval", "2000", "--ping-timeout", "2000")


def silence(
    name: str, users: int, seconds: int, folder: Path
) -> tuple[serverkit.Run, dict[str, Any], dict[str, Any]]:
    """A run of silent users, its report, and what the server counted."""
    path = folder / f"{name}.json"
    with serverkit.running(SERVERS[name].kind, *BEATS) as server:
        done = serverkit.run_locust(
            ["-f", Path(__file__).parent / "idle_locustfile.py", "--headless", "-u", str(users), "-r", "50",
             "-t", f"{seconds}s", "-H", server.url, "--sio-report", path],
            timeout=seconds + 45,
            env={"VERSION": str(SERVERS[name].version)},
        )  # fmt: skip
        counts = server.counts()
    return done, json.loads(path.read_text()), counts


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("users", "seconds"), [(50, 9), pytest.param(200, 60, marks=pytest.mark.verify)])
def test_silent_users_stay(tmp_path: Path, users: int, seconds: int) -> None:
    with ThreadPoolExecutor(len(OLD)) as pool:
        runs = list(pool.map(lambda name: silence(name, users, seconds, tmp_path), OLD))
    for name, (done, report, counts) in zip(OLD, runs, strict=True):
        assert done.code == 0, f"{name}: {done.text}"
        rows = {(row["type"], row["name"]): row for row in report["events"]}
        assert [row for kind, row in rows if kind == "DISCONNECT"] == ["client"], name
        assert rows["CONNECT", "/"]["count"] == rows["DISCONNECT", "client"]["count"] == users, name
        reasons = set(counts["reasons"]["/"])
        assert not any("timeout" in reason for reason in reasons), f"{name}: {reasons}"
        beats = rows["HEARTBEAT", "ping" if SERVERS[name].version == 0 else "pong"]
        least = users * ((seconds - users / 50) / INTERVAL - 2)
        assert beats["count"] >= least and not beats["failures"], f"{name}: {beats}, not {least:.0f}"
        assert (beats["latency_ms"] is None) == (SERVERS[name].version == 0), name
        assert report["connections"]["opened"] == users, name
