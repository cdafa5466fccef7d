"""Runs that last: memory stays level, and everything that was opened is closed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import serverkit

HERE = Path(__file__).parent
Servers = Callable[..., serverkit.Server]


def growth(memory: Sequence[int], warm: float) -> float:
    """By how much of itself memory grows from its warm-up's end (a share of the run) to the run's end."""
    later = memory[int(len(memory) * warm) :]
    n = len(later)
    mean_x, mean_y = (n - 1) / 2, sum(later) / n
    slope = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(later)) / sum(
        (x - mean_x) ** 2 for x in range(n)
    )
    return slope * (n - 1) / mean_y


def level(told: dict[str, Any]) -> None:
    """Descriptors, greenlets and deadlines are back at the start's count."""
    before, after = told["before"], told["after"]
    assert after["connected"] == after["members"] == after["deadlines"] == 0, told
    assert after["fds"] <= before["fds"], told
    assert after["greenlets"] <= before["greenlets"] + 1, told  # the one that writes this


def cycle(server: serverkit.Server, cycles: int, transports: str, timeout: float) -> dict[str, Any]:
    argv = [sys.executable, str(HERE / "cycles.py"), server.url, str(cycles), transports]
    run = serverkit.run(argv, timeout)
    assert run.code == 0, run.text
    told: dict[str, Any] = json.loads(run.out)
    assert told["faults"] == [] and told["done"] == cycles, told
    assert told["opened"] == cycles and told["closed"] == {"client": cycles}, told
    assert told["ledger"]["acked"] == told["ledger"]["emits"] == cycles, told
    level(told)
    return told


@pytest.mark.parametrize("transports", ["websocket", "polling,websocket"])
def test_connecting_and_disconnecting_a_thousand_times(servers: Servers, transports: str) -> None:
    told = cycle(servers("sio4"), 1000, transports, 60)
    assert growth(told["memory"], 0.5) < 0.05, told["memory"]


@pytest.mark.verify
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("transports", "cycles"), [("websocket", 70_000), ("polling,websocket", 30_000)])
def test_connecting_and_disconnecting_a_hundred_thousand_times(
    servers: Servers, transports: str, cycles: int
) -> None:
    told = cycle(servers("sio4"), cycles, transports, 2000)
    print(told)
    assert growth(told["memory"], 0.2) < 0.02, told["memory"]


def soak(
    target: serverkit.Server, folder: Path, users: int, seconds: int, workers: int
) -> list[dict[str, Any]]:
    """A run of Locust; what its processes with users told."""
    port = str(serverkit.free_port())
    args = ["-f", HERE / "crowd.py", "--host", target.url, "-u", str(users), "-r", str(users // 5),
            "-t", f"{seconds}s", "--headless", "--only-summary", "--stop-timeout", "10",
            "--sio-report", folder / "report.json"]  # fmt: skip
    if workers:
        args += ["--processes", str(workers), "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
                 "--master-port", port]  # fmt: skip
    run = serverkit.run_locust(args, seconds + 120, cwd=folder, env={"SOAK": str(folder)})
    assert run.code == 0, run.text
    report = json.loads((folder / "report.json").read_text())
    counts = target.counts()
    ledger = report["ledger"]
    assert ledger["open"] == 0 and report["untrusted"] == [], run.text
    assert ledger["emits"] == sum(sum(events.values()) for events in counts["received"].values()), run.text
    assert ledger["acked"] == sum(sum(events.values()) for events in counts["acks"].values()), run.text
    assert set(report["connections"]["closed"]) == {"client"}, run.text
    assert report["users"]["peak"] == users
    told = [json.loads(path.read_text()) for path in folder.glob("[0-9]*.json")]
    assert len(told) == max(workers, 1), run.text
    for one in told:
        assert one["internal"] == []
        level(one)
    return told


def test_300_users_for_half_a_minute(target: serverkit.Server, tmp_path: Path) -> None:
    (told,) = soak(target, tmp_path, 300, 30, 0)
    assert growth(told["memory"], 0.5) < 0.05, told["memory"]


@pytest.mark.verify
@pytest.mark.timeout(1500)
def test_2000_users_for_20_minutes_on_2_workers(target: serverkit.Server, tmp_path: Path) -> None:
    for told in soak(target, tmp_path, 2000, 1200, 2):
        print(told["before"], told["after"], told["memory"][:: len(told["memory"]) // 20])
        # 1 % in 10 minutes, over the 15 minutes that follow the warm-up.
        assert growth(told["memory"], 0.25) < 0.015, told["memory"]
