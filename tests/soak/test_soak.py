"""Runs that last: memory stays level, and everything that was opened is closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import serverkit
from soak.levels import growth, level

HERE = Path(__file__).parent


def soak(
    target: serverkit.Server, folder: Path, users: int, seconds: int, workers: int
) -> list[dict[str, Any]]:
    """A run of Locust; what its processes with users told."""
    args = ["-f", HERE / "crowd.py", "--host", target.url, "-u", str(users), "-r", "60",
            "-t", f"{seconds}s", "--headless", "--only-summary", "--stop-timeout", "10",
            "--sio-report", folder / "report.json"]  # fmt: skip
    if workers:
        args += ["--processes", str(workers)]
    run = serverkit.run_locust(args, seconds + 120, cwd=folder, env={"SOAK": str(folder)}, fresh=True)
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


@pytest.mark.timeout(1600)
@pytest.mark.parametrize(
    ("users", "seconds", "workers", "warm", "most"),
    [
        (300, 30, 0, 0.5, 0.05),
        # 1 % in 10 minutes, over the 11 minutes that follow the warm-up: ended sessions are circles, and the
        # collector comes for old ones first after 4 minutes, and again after 7.
        pytest.param(2000, 1200, 2, 0.45, 0.011, marks=pytest.mark.verify),
    ],
)
def test_users_that_go_on_for_long(
    target: serverkit.Server, tmp_path: Path, users: int, seconds: int, workers: int, warm: float, most: float
) -> None:
    for told in soak(target, tmp_path, users, seconds, workers):
        print(told["before"], told["after"], told["memory"][:: len(told["memory"]) // 20])
        assert growth(told["memory"], warm) < most, told["memory"]
