"""What finding the generation costs: one session per user, nothing that a user could spend only once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import serverkit

from sioload.session.opening import GREETED

HERE = Path(__file__).resolve().parent
FIXED = {"sio1": "1", "sio2": "2", "sio3": "3", "sio4": "4"}


def start_guarded(lib: str, *options: str) -> serverkit.Process:
    node = serverkit.need_node(lib)
    script = str(serverkit.SERVERS / "guarded.js")
    return serverkit.Process([node, "--no-deprecation", script, "--lib", lib, *options])


def enter(process: serverkit.Process, version: str, transports: str, *more: str) -> tuple[Any, Any]:
    """What the users heard, and what the server counted."""
    url = f"http://127.0.0.1:{process.wait_for(serverkit.READY, 20).group(1)}"
    done = serverkit.run([sys.executable, HERE / "tickets.py", url, version, transports, *more], 60)
    assert done.code == 0, done.text
    return json.loads(done.out), serverkit.http_json(f"{url}/counts")


@pytest.mark.parametrize("transports", ["polling", "websocket"])
@pytest.mark.parametrize("lib", FIXED)
@pytest.mark.parametrize(
    "fixed", [False, pytest.param(True, marks=pytest.mark.verify)], ids=["auto", "fixed"]
)
def test_tickets_that_are_good_for_one_request(lib: str, transports: str, fixed: bool) -> None:
    with start_guarded(lib) as process:
        told, counts = enter(process, FIXED[lib] if fixed else "auto", transports)
    assert told == {"heard": [0, 1, 2], "rows": {transports: 3}}
    assert counts == {"connects": 3, "refused": 0, "spent": {"t0": 1, "t1": 1, "t2": 1}}


@pytest.mark.parametrize("transports", ["polling", "websocket"])
def test_a_slow_handshake_is_waited_for_and_leaves_the_next_users_their_own_time(transports: str) -> None:
    """The first answers after 2 s; the others have 3 s from then on."""
    with start_guarded("sio4", "--delay", "2000") as process:
        told, counts = enter(process, "auto", transports, "3")
    assert told["heard"] == [0, 1, 2]
    assert counts["connects"] == 3 and counts["refused"] == 0


@pytest.mark.parametrize(("lib", "transports"), [("sio1", "polling"), ("sio2", "websocket")])
def test_a_server_behind_a_login_is_asked_with_the_cookies_of_a_user(lib: str, transports: str) -> None:
    with serverkit.running(lib, "--login") as server:
        argv = [
            "-f",
            HERE / "members.py",
            "--host",
            server.url,
            "--headless",
            "-u",
            "3",
            "-r",
            "3",
            "-t",
            "3s",
        ]
        done = serverkit.run_locust(argv, env={"TRANSPORTS": transports})
        counts = server.counts()
    assert done.code == 0, done.text
    assert (counts["connects"]["/"], counts["refused"]["/"]) == (3, 0)
    assert counts["acks"]["/"]["echo"] > 3


def test_what_is_waited_for_to_find_the_generation_is_no_time_of_the_servers(tmp_path: Path) -> None:
    """On a websocket of 3.x the first user says nothing for a second after the open packet."""
    report = tmp_path / "report.json"
    with serverkit.running("sio3") as server:
        argv = ["bench", server.url, "--emit", "echo", "--ack", "--transports", "websocket", "-u", "1"]
        done = serverkit.run_sioload([*argv, "-t", "3s", "--sio-report", str(report)])
    assert done.code == 0, done.text
    rows = {(row["type"], row["name"]): row for row in json.loads(report.read_text())["events"]}
    opened = rows["OPEN", "websocket"]
    assert opened["count"] == 1 and opened["latency_ms"]["max"] < 1000 * GREETED
    assert rows["CALL", "echo"]["count"] > 0
