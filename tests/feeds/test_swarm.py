"""Workers die, join, fall silent and come back while users share accounts: none is used twice at a time."""

from __future__ import annotations

import contextlib
import json
import signal
import time
import urllib.parse
import urllib.request
from datetime import datetime

import pytest
import serverkit
from feedkit import SCRIPT, Accounts, assert_rows_in_order

#: Rows of a worker are free again that soon, so that the quick tier needn't wait for ten seconds.
IMPATIENT = "\nfrom sioload.swarm import lending\nlending.SILENCE = {silence}\n"


class Swarm:
    """A master, and workers that come and go."""

    def __init__(self, accounts: Accounts, *more: str) -> None:
        self.accounts = accounts
        self.port = str(serverkit.free_port())
        bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", self.port]
        self.master = accounts.start(*accounts.load("--master", *bind, "--enable-rebalancing", *more))

    def join(self, count: int) -> list[serverkit.Process]:
        args = ["--worker", "--master-host", "127.0.0.1", "--master-port", self.port]
        return [self.accounts.start(*args) for _ in range(count)]

    def end(self, code: int, timeout: float) -> None:
        said = self.master.wait(timeout)
        assert said == code, "\n".join(map(str, self.accounts.processes))


def assert_refused_as_told(accounts: Accounts, *, twice: bool) -> None:
    """Nobody was refused but when the report says that rows may have been held twice."""
    report, log = accounts.report, accounts.log
    [feed] = report["feeds"]
    assert bool(feed["held_twice"]) == twice, feed
    began = datetime.fromisoformat(report["started"]).timestamp()  # in whole seconds
    for when, account in log["refused"]:
        spans = [(began + lapse["from_s"], began + lapse["to_s"] + 2.0) for lapse in feed["held_twice"]]
        assert any(start <= when <= end for start, end in spans), (account, when - began, feed)
    assert log["inside"] == []


def test_a_worker_is_killed_one_joins_and_one_comes_back(accounts: Accounts) -> None:
    accounts.write(rows=14, script=SCRIPT + IMPATIENT.replace("{silence}", "3.0"))
    swarm = Swarm(accounts, "--expect-workers", "3", "--sio-phases", "9 users for 2s; 18 users for 15s")
    stopped, killed, _ = swarm.join(3)
    accounts.inside(14)
    killed.popen.kill()
    [joined] = swarm.join(1)
    stopped.signal(signal.SIGSTOP)
    time.sleep(5.0)
    stopped.signal(signal.SIGCONT)
    swarm.end(4, 60)
    assert "others have its rows" in stopped.err, str(stopped)
    assert_refused_as_told(accounts, twice=True)
    assert_rows_in_order(accounts.log["logins"], 14)
    assert len(accounts.log["logins"]) > 18
    assert joined.wait(20) == 0


@pytest.mark.verify
@pytest.mark.timeout(400)
def test_ninety_users_share_seventy_rows_whatever_becomes_of_workers(accounts: Accounts) -> None:
    accounts.write(rows=70)
    plan = "60 users for 8s; 20 users for 5s; 90 users for 35s; 30 users for 5s; 90 users for 6s"
    swarm = Swarm(accounts, "--expect-workers", "4", "--sio-phases", plan)
    stopped, killed, _, _ = swarm.join(4)
    accounts.inside(60)
    accounts.inside(20)
    accounts.inside(70)
    killed.popen.kill()
    time.sleep(2.0)
    swarm.join(1)
    time.sleep(2.0)
    stopped.signal(signal.SIGSTOP)
    time.sleep(12.0)
    stopped.signal(signal.SIGCONT)
    swarm.end(4, 150)
    assert_refused_as_told(accounts, twice=True)
    assert_rows_in_order(accounts.log["logins"], 70)
    assert accounts.log["most"] == 70 == accounts.report["feeds"][0]["most_held"]


def test_all_rows_are_free_for_the_next_run_of_the_web_ui(accounts: Accounts) -> None:
    accounts.write(rows=6, when_empty="stop")
    port = str(serverkit.free_port())
    web = f"http://127.0.0.1:{port}"
    args = ["--host", accounts.url, "--web-host", "127.0.0.1", "--web-port", port, "--processes", "2"]
    process = accounts.start(*args)
    process.wait_for(r"\(index 1\) reported as ready", 40)
    process.wait_for("Starting web interface", 20)
    for _ in range(50):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(web, timeout=30).close()
            break
        time.sleep(0.1)
    form = {"user_count": "6", "spawn_rate": "6", "host": accounts.url}
    for _ in range(3):
        with urllib.request.urlopen(
            f"{web}/swarm", urllib.parse.urlencode(form).encode(), timeout=30
        ) as said:
            assert json.load(said)["success"], str(process)
        accounts.inside(6)
        serverkit.http_json(f"{web}/stop", method="POST")
        accounts.inside(0)
    log = accounts.log
    assert log["refused"] == [] and len(log["logins"]) == 18
    assert " is free, of " not in process.err
