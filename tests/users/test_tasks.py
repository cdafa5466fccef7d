"""Tasks of every kind are guarded and left as they are; users that can't go on end without a traceback."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serverkit
from faults.hostile import Hostile, Peer

HERE = Path(__file__).parent


def rows(folder: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """Type and name to count and failures."""
    with open(folder / "run_stats.csv", newline="") as file:
        return {
            (row["Type"], row["Name"]): (int(row["Request Count"]), int(row["Failure Count"]))
            for row in csv.DictReader(file)
        }


def run(script: str, folder: Path, target: serverkit.Server, *more: str) -> serverkit.Run:
    load = ["-u", "40", "-r", "100", "--headless", "--only-summary", "--csv", folder / "run"]
    args = ["-f", HERE / script, *load, *more]
    return serverkit.run_locust(
        args, cwd=folder, env={"SEEN": str(folder / "seen.json"), "TARGET": target.url}
    )


def test_tasks_of_every_kind_go_on_after_their_namespace_was_closed(
    tmp_path: Path, target: serverkit.Server
) -> None:
    done = run("every_task.py", tmp_path, target, "-t", "3s")
    assert done.code == 1 and "Traceback" not in done.text and "Uncaught" not in done.text, done.text
    kinds = ("Plain", "Nested", "Sequential", "Overriding", "Markov", "Later", "Partial")
    counts = rows(tmp_path)
    assert {kind: counts["CALL", kind][1] for kind in kinds} == dict.fromkeys(kinds, 1)
    assert all(counts["CALL", kind][0] > 5 for kind in kinds), counts  # five are done with the one that fails
    assert counts["EMIT", "kick"] == (len(kinds), 0)
    assert counts["GET", "shared"][0] > 5  # the same TaskSet, run by an HttpUser
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert set(seen["overriding"]) == {"Shared"}


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 200), marks=pytest.mark.verify)])
def test_tasks_go_as_in_locusts_own_loop(seeds: range, target: serverkit.Server) -> None:
    """Generated users do the same, in the same order and states, and end in the same way."""
    did = [
        serverkit.run([sys.executable, HERE / "loops.py", target.url, kind, *map(str, seeds)], timeout=60)
        for kind in ("ours", "locust")
    ]
    assert [run.code for run in did] == [0, 0], did
    ours, locusts = [json.loads(run.out) for run in did]
    assert ours == locusts
    kinds = {kind for run in ours.values() for _, kind, _ in filter(lambda one: len(one) == 3, run["did"])}
    assert len(kinds) == 17, f"each kind of task was met: {kinds}"


def test_users_that_give_up_are_counted_in_one_line(tmp_path: Path, target: serverkit.Server) -> None:
    began = time.monotonic()
    done = run("giving_up.py", tmp_path, target, "-t", "3s", "--stop-timeout", "60")
    assert time.monotonic() - began < 30, "a backoff or a jitter outlived the order to stop"
    assert done.code == 1 and "Traceback" not in done.text, done.text
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == {
        "Refused": 20,
        "Patient": 2,
        "Dismissed": 1,
        "Beside": 1,
        "beside": 5,
        "Two": 1,
        "on_connected": 1,
        "tasks": 20,
        "open": 0,
    }
    told = re.findall(r"(\d+) users? of Refused gave up: dial: connection refused", done.err)
    assert sum(map(int, told)) == 20 and len(told) <= 3, done.err
    assert "1 user of Dismissed gave up" in done.err and "1 user of Impatient gave up" in done.err, done.err
    assert "users of Patient can't connect: dial: connection refused" in done.err
    assert "users of Patient gave up" not in done.err
    assert done.err.count("a SocketIOClient without a user") == 1
    counts = rows(tmp_path)
    assert counts["CONNECT", "/"][1] == 20 * 3 + 2 + 1 + 1
    assert counts["CALL", "/chat second"][0] == 20 == counts["CALL", "third"][0]
    assert counts["CALL", "dismissed"] == (1, 1)
    assert counts["DISCONNECT", "client"][0] >= 3


GONE = """
from locust import constant, task
from sioload import SocketIOUser

class Lost(SocketIOUser):
    wait_time = constant(0.05)
    options = {"version": 4, "transports": ["websocket"], "reconnection_attempts": 1,
               "reconnection_delay": 0.05}

    @task
    def rest(self): pass

    def on_stop(self): self.environment.runner.quit()
"""


def test_a_user_whose_reconnects_are_used_up_ends_before_its_next_task(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.connected()
        else:
            peer.request()
            peer.reply(500)

    (tmp_path / "locustfile.py").write_text(GONE)
    with Hostile(script) as server:
        args = ["--host", server.url, "--headless", "-t", "20s"]
        done = serverkit.run_locust(args, cwd=tmp_path)
        assert server.accepted == 2
    assert done.code == 1 and "sioload: 1 user of Lost gave up: reconnecting failed" in done.err, done.text
    assert "1  RECONNECT transport closed: given up" in done.out, done.text


def test_listeners_of_the_request_event_learn_of_ours_what_they_learn_of_others(
    tmp_path: Path, servers: Callable[..., serverkit.Server]
) -> None:
    done = run("listened.py", tmp_path, servers("target", "--ping-interval", "1"), "-t", "3s")
    assert done.code == 1 and "Traceback" not in done.text, done.text
    raised = "a listener of the request event raised StopUser() (said once; no user is stopped by it)"
    assert done.err.count("a listener of the request event raised") == done.err.count(raised) == 1, done.err
    both = json.loads((tmp_path / "seen.json").read_text())
    seen, counted = both["seen"], both["rows"]
    bob = {"user": "bob"}
    ack = len('30["') + 250 + len('"]')  # with the first of its ids
    assert ack <= seen["CALL say "][1] <= ack + 3 and seen["CALL say "][2] == bob
    assert seen["CALL timeout AckTimeout"][1:] == [0, bob]
    assert seen["CALL refused UnexpectedReply"][2] == bob and seen["CALL refused UnexpectedReply"][1] >= 5
    carol = {"user": "carol"}
    assert seen["CONNECT /chat ConnectError"][1:] == [0, carol]
    assert seen["CONNECT / "][2] == seen["EMIT tell "][2] == seen["PUSH message "][2] == bob
    assert seen["EMIT (raw) "][2] == seen["RECV message (delivery) KeyError"][2] == bob
    assert seen["PUSH message "][1] > 20 and seen["DISCONNECT client "][2] in (bob, carol)
    # What happens below a message too: an attempt's steps and heartbeats.
    assert seen["OPEN polling "][1] > 50 and seen["OPEN websocket "][1] > 50
    assert seen["OPEN polling "][2] == seen["UPGRADE websocket "][2] == seen["HEARTBEAT ping "][2] == bob
    assert seen["OPEN websocket "][2] == carol
    assert seen["DIAL tcp ConnectError"] == [1, 0, {"user": "alice"}] and seen["DIAL tcp "][2] in (bob, carol)
    assert seen["GET /counts "][2] == {"user": "web"}
    # All of them saw every sample, one that was added in `on_start` too.
    assert seen["CALL say "][0] == counted["CALL say"] == counted["late say"] > 5, both
    with open(tmp_path / "run_stats.csv", newline="") as file:
        sizes = {row["Name"]: float(row["Average Content Size"]) for row in csv.DictReader(file)}
    assert ack <= sizes["say"] <= ack + 3 and sizes["message"] > 20 and sizes["tell"] == 0
