"""What a process holds for many connected users, and that none is lost while all of them sleep."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import serverkit

CROWD = Path(__file__).with_name("crowd.py")


def crowd(kind: str, users: int, seconds: float, *options: str) -> dict[str, Any]:
    with serverkit.running(kind, *options) as server:
        done = serverkit.run(
            [sys.executable, CROWD, server.url, str(users), str(seconds)], timeout=seconds + 90
        )
        assert done.code == 0, done.text
        found: dict[str, Any] = json.loads(done.out)
    return found


def check(found: dict[str, Any], users: int, heartbeats: int) -> None:
    assert found["opened"] == users
    assert found["closed"] == {}, "a user was disconnected"
    assert found["greenlets"] <= users + 20, "more than one greenlet for a user"
    assert found["after_a_broadcast"] <= users + 20, "dispatchers outlive their queues"
    assert found["heard"] == users
    assert found["heartbeats"] >= heartbeats, "heartbeats must be answered while users sleep"
    assert found["internal_errors"] == []
    assert found["young"] >= 5000, "the collector walks users again and again while they are spawned"
    assert found["looked_up"], "Locust's stop, which asks for its stack, would hold everyone up"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("seconds", "interval", "timeout", "heartbeats"),
    [(6, "1000", "3000", 3000), pytest.param(180, "2000", "5000", 80_000, marks=pytest.mark.verify)],
)
def test_a_thousand_sleepers_need_a_greenlet_each_and_keep_their_heartbeats(
    seconds: int, interval: str, timeout: str, heartbeats: int
) -> None:
    options = ("--ping-interval", interval, "--ping-timeout", timeout)
    check(crowd("sio4", 1000, seconds, *options), 1000, heartbeats=heartbeats)


OWN = """
import gc
gc.set_threshold({threshold})
from locust import task
from sioload import SocketIOUser
class One(SocketIOUser):
    @task
    def tell(self):
        print("threshold", gc.get_threshold()[0])
        self.environment.runner.quit()
"""


@pytest.mark.parametrize(("own", "kept"), [(0, 0), (50_000, 50_000), (700, 5000)])
def test_a_script_may_choose_when_the_collector_looks(
    own: int, kept: int, target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "locustfile.py").write_text(OWN.format(threshold=own))
    line = serverkit.locust(["--headless", "-u", "1", "-t", "20s", "--host", target.url])
    done = serverkit.run(line, 60, cwd=tmp_path)
    assert f"threshold {kept}\n" in done.out, done.text
