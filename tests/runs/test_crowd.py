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


def test_a_thousand_sleepers_need_a_greenlet_each_and_keep_their_heartbeats() -> None:
    options = ("--ping-interval", "1000", "--ping-timeout", "3000")
    check(crowd("sio4", 1000, 6, *options), 1000, heartbeats=3000)


@pytest.mark.verify
@pytest.mark.timeout(400)
def test_nobody_is_lost_in_three_idle_minutes() -> None:
    options = ("--ping-interval", "2000", "--ping-timeout", "5000")
    check(crowd("sio4", 1000, 180, *options), 1000, heartbeats=80_000)
