"""`sioload capacity` against real servers: what it finds, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import serverkit

#: Only so many users get through `on_start` at a time.
CROWDED = """
from locust import constant, task
from sioload import SocketIOUser
import gevent

inside = set()

class Guest(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"]}

    def on_start(self):
        while len(inside) >= 6:
            gevent.sleep(0.05)
        inside.add(self)

    def on_stop(self):
        inside.discard(self)

    @task
    def say(self):
        self.sio.call("echo", 1)
"""
#: Only three of them are served.
QUEUED = """
from locust import task
from sioload import SocketIOUser, paced

served = []

class Guest(SocketIOUser):
    wait_time = paced(10)

    @task
    def say(self):
        if len(served) < 3 and self not in served:
            served.append(self)
        if self in served:
            self.sio.call("echo", 1)
"""
#: One call, in a session that is over then.
ONCE = """
from locust import constant, task
from locust.exception import StopUser
from sioload import Phases, SocketIOUser

class Guest(SocketIOUser):
    wait_time = constant(0)

    @task
    def say(self):
        self.sio.call("echo", 1)
        raise StopUser

class Load(Phases):
    phases = "1/s for 1s"
    session_length = None
"""
#: Above four users they hold up their own process.
BLOCKING = """
from gevent import monkey
from locust import constant, task
from sioload import SocketIOUser

block = monkey.get_original("time", "sleep")

class Blocker(SocketIOUser):
    wait_time = constant(0.5)

    @task
    def say(self):
        if self.environment.runner.user_count > 4:
            block(0.03)
        self.sio.call("echo", 1)
"""


OWING = """
from locust import constant, task
from sioload import SocketIOUser

class Owing(SocketIOUser):
    wait_time = constant(0.2)
    options = {"ack_timeout": 60}

    @task
    def say(self):
        self.sio.call("echo", 1)
        if self.environment.runner.user_count > 2:
            self.sio.emit("delay", 50, callback=lambda *_: None)
"""


#: Three of them may stay.
SENT_AWAY = """
from locust import constant, task
from sioload import SocketIOUser

inside = set()

class Guest(SocketIOUser):
    wait_time = constant(0.1)
    options = {"transports": ["websocket"]}

    def on_connected(self):
        if len(inside - {self}) < 3:
            inside.add(self)
        else:
            self.sio.emit("kick")

    def on_stop(self):
        inside.discard(self)

    @task
    def nothing(self): ...
"""


#: All of them are in one room, where everyone talks.
ROOMS = """
from itertools import count
from locust import constant, task
from sioload import SocketIOUser, on, stamp

numbers = count()

class Talker(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"], "namespaces": ["/chat"], "auth": {"token": "secret"}}

    def on_connected(self):
        self.sio.call("join", {"room": "all"}, namespace="/chat")
        self.sio.rooms.add("all")

    @task
    def say(self):
        message = {"room": "all", "id": next(numbers), "sent": stamp()}
        self.sio.call("message", message, namespace="/chat")

    @on("message", namespace="/chat", sent_at=lambda m: m["sent"], room=lambda m: (m["room"], m["id"]))
    def heard(self, message): ...
"""


def capacity(
    folder: Path, target: str | Path, *args: str, timeout: float = 110.0
) -> tuple[serverkit.Run, dict[str, Any]]:
    """A finished search, and its report."""
    report = folder / "report.json"
    port = str(serverkit.free_port())
    env = {"LOCUST_MASTER_BIND_PORT": port, "LOCUST_MASTER_NODE_PORT": port, "COLUMNS": "80"}
    args = ("--sio-report", str(report), *args)
    done = serverkit.run_sioload(["capacity", str(target), *args], timeout, cwd=folder, env=env)
    return done, json.loads(report.read_text()) if report.exists() else {}


def loads(report: dict[str, Any]) -> list[tuple[int, bool, bool]]:
    """Of each level its load, whether it held, and whether it was to confirm another."""
    return [(level["load"], level["ok"], level["confirming"]) for level in report["capacity"]["levels"]]


def test_it_finds_what_a_busy_server_holds_and_says_so_everywhere(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    server = servers("sio4")  # 20 ms of its one core for each message: 50 users at one a second
    short = ["--users", "30..120", "--step", "1s", "--settle", "2s", "--within", "50%"]
    files = ["--sio-html", str(tmp_path / "report.html"), "--sio-junit", str(tmp_path / "junit.xml")]
    done, report = capacity(
        tmp_path, server.url, "--emit", "busy", "--data", "20", "--ack", "--transports", "websocket", *short,
        "--sio-check", "CALL: p99 < 400ms", "--expect", ">= 30", *files,
    )  # fmt: skip
    assert done.code == 0, done.text
    found = report["capacity"]
    assert 30 <= found["holds"] <= 60 and found["confirmed"] and found["reason"] == "limit", done.text
    assert found["breaks"] - found["holds"] <= 0.5 * found["holds"]
    assert found["by"] in ("CALL: p99 < 400ms", "connected")
    assert report["checks"][0]["check"] == "capacity >= 30" and report["checks"][0]["ok"]
    for level in found["levels"]:
        assert level["ok"] == level["checks"][0]["ok"]
        assert level["connected"] == level["load"] or not level["ok"]
        assert {"verdict", "cpu_peak"} <= level["health"].keys()
        (call,) = [row for row in level["events"] if row["type"] == "CALL"]
        assert call["name"] == "busy"
    for before, level in pairwise(found["levels"]):
        owed = sum(row["skipped"] for row in level["events"])
        assert before["ok"] or not level["ok"] or not owed, "what a level owed goes along into the next"
    assert found["summary"] in " ".join(done.out.split()), done.text
    table = done.out[: done.out.index("sioload: http")].splitlines()
    assert max(map(len, table)) <= 80 and sum(line.rstrip().endswith("held") for line in table) >= 1, (
        done.text
    )
    assert ElementTree.parse(tmp_path / "junit.xml").getroot()[0].get("failures") == "0"
    page = (tmp_path / "report.html").read_text()
    assert 'id="capacity"' in page and '"unit":"users"' in page


def test_users_that_cannot_get_in_fail_a_level_on_a_worker_of_its_own(
    target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "locustfile.py").write_text(CROWDED)
    port = str(serverkit.free_port())
    worker = serverkit.locust(["-f", "locustfile.py", "--worker", "--master-port", port])
    with serverkit.Process(worker, cwd=tmp_path):
        done, report = capacity(
            tmp_path, "locustfile.py", "--host", target.url, "--master", "--expect-workers", "1",
            "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--users", "3..12",
            "--step", "1s", "--settle", "2s", "--within", "40%", "--sio-check", "CALL: fail_ratio < 1%",
            "--expect", ">= 100",
        )  # fmt: skip
    assert done.code == 3, done.text
    assert "it holds 6 users, not >= 100" in done.out
    found = report["capacity"]
    assert loads(report)[:3] == [(3, True, False), (6, True, False), (12, False, False)], done.text
    assert (found["holds"], found["by"], found["confirmed"]) == (6, "connected", True)
    assert found["levels"][2]["connected"] == 6
    assert "6 of 12 were in at the end of settling" in done.out
    assert report["connections"]["opened"] == sum(target.counts()["connects"].values())


def test_users_that_the_server_sends_away_are_not_in(target: serverkit.Server, tmp_path: Path) -> None:
    """They come back over and over; nothing that they do would fail a check."""
    (tmp_path / "locustfile.py").write_text(SENT_AWAY)
    done, report = capacity(
        tmp_path, "locustfile.py", "--host", target.url, "--users", "3..4", "--step", "1s", "--settle", "2s",
        "--sio-check", "CALL: fail_ratio < 1% min_samples 0",
    )  # fmt: skip
    assert done.code == 0, done.text
    assert loads(report) == [(3, True, False), (4, False, False), (3, True, True)], done.text
    assert (report["capacity"]["by"], report["capacity"]["levels"][1]["connected"]) == ("connected", 3)


def test_a_generator_at_its_limit_ends_the_search(target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(BLOCKING)
    done, report = capacity(
        tmp_path, "locustfile.py", "--host", target.url, "--users", "4..32", "--step", "3s", "--settle", "3s",
        "--sio-check", "CALL: fail_ratio < 50%", "--expect", ">= 2",
    )  # fmt: skip
    assert done.code == 4, done.text
    assert report["capacity"]["reason"] == "generator"
    assert (report["capacity"]["holds"], report["capacity"]["breaks"]) == (4, None)
    assert "holds at least 4 users" in done.out and "generator limited" in done.out


def test_sessions_per_second_over_two_processes(target: serverkit.Server, tmp_path: Path) -> None:
    done, report = capacity(
        tmp_path, target.url, "--emit", "echo", "--ack", "--rate", "5", "--arrivals", "4..8",
        "--sio-session-length", "2s", "--step", "2s", "--settle", "1s", "--processes", "2",
        "--sio-check", "CALL: fail_ratio < 1%",
    )  # fmt: skip
    assert done.code == 0, done.text
    assert loads(report) == [(4, True, False), (8, True, False), (8, True, True)]
    assert (report["capacity"]["reason"], report["capacity"]["confirmed"]) == ("cap", True)
    assert "holds at least 8 sessions per second" in done.out
    shown = set(re.findall(r"[0-9]  (\S[^,]*), [0-9]+:[0-9]+ left", done.err))
    assert shown and shown <= {"4/s settle", "4/s", "8/s settle", "8/s"}, done.err
    assert report["connections"]["opened"] == sum(target.counts()["connects"].values())


def test_sessions_last_as_long_as_the_phases_of_the_script_say(
    target: serverkit.Server, tmp_path: Path
) -> None:
    """As an imported script has it: until the script ends them."""
    (tmp_path / "locustfile.py").write_text(ONCE)
    done, report = capacity(
        tmp_path, "locustfile.py", "--host", target.url, "--arrivals", "4..4", "--step", "1s",
        "--settle", "1s", "--sio-check", "CALL: fail_ratio < 1%",
    )  # fmt: skip
    assert done.code == 0, done.text
    assert loads(report) == [(4, True, False), (4, True, True)]


def test_sessions_that_get_no_account_are_not_held(target: serverkit.Server, tmp_path: Path) -> None:
    """Of accounts there are three, and eight are wanted at a time: those that get one are served well."""
    (tmp_path / "accounts.csv").write_text("name\nann\nbob\neve\n")
    done, report = capacity(
        tmp_path, target.url, "--emit", "echo", "--ack", "--feed", "accounts.csv", "--data", '"{{name}}"',
        "--arrivals", "4..8", "--sio-session-length", "2s", "--step", "2s", "--settle", "1s",
        "--sio-check", "CALL: fail_ratio < 1%", "--expect", ">= 1",
    )  # fmt: skip
    assert done.code == 4 and "give it more rows" in " ".join(done.out.split()), done.text
    assert (report["capacity"]["holds"], report["capacity"]["reason"]) == (None, "generator"), done.text


def test_messages_of_a_level_are_judged_before_it_is(target: serverkit.Server, tmp_path: Path) -> None:
    """That takes longer than the level itself, whose users stay until then."""
    script = tmp_path / "rooms.py"
    script.write_text(ROOMS)
    done, report = capacity(
        tmp_path, script, "--host", target.url, "--users", "3..3", "--step", "1s", "--settle", "2s",
        "--sio-check", "FANOUT: reach == 100%", "--expect", ">= 3", "--", "--sio-grace", "800ms",
    )  # fmt: skip
    assert done.code == 0, done.text
    assert loads(report) == [(3, True, False), (3, True, True)], done.text
    for level in report["capacity"]["levels"]:
        rows = {(row["type"], row["name"]): row["count"] for row in level["events"]}
        said, judged = rows["CALL", "/chat message"], rows["FANOUT", "/chat message"]
        assert judged >= said - 3 > 5, "but for those on their way at its beginning or end"


def test_without_a_session_there_is_no_number(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{serverkit.free_port()}"
    done, report = capacity(
        tmp_path, nobody, "--emit", "echo", "--users", "2..8", "--step", "1s", "--settle", "1s",
        "--sio-check", "CALL: p99 < 1s",
    )  # fmt: skip
    assert done.code == 1, done.text
    assert "no user ever had a session" in done.out
    found = report["capacity"]
    assert (found["holds"], found["breaks"], found["by"]) == (None, 2, "connected")
    assert found["reason"] == "first level"
    assert any(row["type"] == "CONNECT" and row["failures"] for row in found["levels"][0]["events"])


def test_a_budget_that_is_used_up_ends_the_search(target: serverkit.Server, tmp_path: Path) -> None:
    """The load that a project's locust.conf asks for isn't that of a search."""
    (tmp_path / "locust.conf").write_text("users = 7\nrun-time = 1s\n")
    done, report = capacity(
        tmp_path, target.url, "--emit", "echo", "--ack", "--users", "2..64", "--step", "1s", "--settle", "1s",
        "--budget", "5s", "--sio-check", "CALL: p99 < 5s", "--expect", ">= 5", "--sio-trace", "trace.jsonl",
    )  # fmt: skip
    assert done.code == 3, done.text
    assert '"user": 1' in (tmp_path / "trace.jsonl").read_text()
    held = loads(report)  # as many as there was time for
    assert held and held == [(2, True, False), (4, True, False)][: len(held)], done.text
    most = held[-1][0]
    found = report["capacity"]
    assert (found["holds"], found["breaks"], found["reason"]) == (most, None, "budget")
    assert f"holds at least {most} users (not confirmed" in done.out and "the budget was used up" in done.out


@pytest.mark.verify
def test_a_level_whose_server_is_not_done_with_the_last_one_waits_within_the_budget(
    target: serverkit.Server, tmp_path: Path
) -> None:
    script = tmp_path / "owing.py"
    script.write_text(OWING)
    done, report = capacity(
        tmp_path, script, "--host", target.url, "--users", "2..64", "--step", "1s", "--settle", "2s",
        "--budget", "13s", "--sio-check", "CALL[echo]: rate < 12",
    )  # fmt: skip
    assert done.code == 0, done.text
    assert loads(report) == [(2, True, False), (4, False, False)], done.text
    found = report["capacity"]
    assert (found["holds"], found["breaks"], found["reason"]) == (2, 4, "budget"), done.text


@pytest.mark.verify
def test_more_users_by_whom_no_more_is_done_are_on_a_plateau(
    target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "locustfile.py").write_text(QUEUED)
    done, report = capacity(
        tmp_path, "locustfile.py", "--host", target.url, "--users", "3..96", "--step", "3s", "--settle", "2s",
        "--sio-check", "CALL: fail_ratio < 1%",
    )  # fmt: skip
    assert done.code == 0, done.text
    held = [(3, True, False), (6, True, False), (12, True, False), (12, True, True)]
    assert loads(report) == held, done.text
    found = report["capacity"]
    assert (found["holds"], found["breaks"], found["reason"]) == (12, None, "plateau")
    assert found["confirmed"] and "more load gained no throughput" in found["summary"]


@pytest.mark.verify
def test_what_a_failed_level_left_undone_does_not_show_in_the_next(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    server = servers("sio4")
    emit = ["--emit", "busy", "--data", "20", "--ack", "--transports", "websocket"]
    done, report = capacity(
        tmp_path, server.url, *emit, "--users", "20..80", "--step", "3s", "--settle", "2s", "--within", "50%",
        "--sio-check", "CALL: p99 < 500ms",
    )  # fmt: skip
    levels = report["capacity"]["levels"]
    after = [level for before, level in pairwise(levels) if not before["ok"] and level["load"] == 40]
    assert after and all(level["ok"] for level in after), done.text
    fresh = tmp_path / "fresh.json"
    args = ["bench", server.url, *emit, "--users", "40", "--run-time", "8s", "--sio-report", str(fresh)]
    done = serverkit.run_sioload(args, cwd=tmp_path)
    assert done.code == 0, done.text
    (p99,) = [
        row["latency_ms"]["p99"] for row in json.loads(fresh.read_text())["events"] if row["type"] == "CALL"
    ]
    # Users that come at other instants wait for each other by up to twice as much, but not for what was owed.
    assert all(level["latency_ms"]["p99"] < 2 * p99 + 50 for level in after), (p99, after)


@pytest.mark.verify
@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_the_limit_of_one_core_is_found(
    servers: Callable[..., serverkit.Server], tmp_path: Path, more: list[str]
) -> None:
    server = servers("sio4")
    emit = ["--emit", "busy", "--data", "2", "--ack", "--transports", "websocket"]

    def full_rate() -> float:
        """Messages a second that the server answers at most."""
        file = tmp_path / "full.json"
        flat = ["bench", server.url, *emit, "--rate", "max", "--users", "20", "--run-time", "8s"]
        done = serverkit.run_sioload([*flat, "--sio-report", str(file)], cwd=tmp_path)
        events = json.loads(file.read_text())["events"]
        rate = float(next(row["rate"] for row in events if row["type"] == "CALL"))
        assert 200 < rate < 500, done.text
        return rate

    before = full_rate()
    done, report = capacity(
        tmp_path, server.url, *emit, "--users", "150..1200", "--step", "5s", "--settle", "3s",
        "--sio-check", "CALL: p99 < 100ms", *more, timeout=300,
    )  # fmt: skip
    found = report["capacity"]
    assert done.code == 0 and found["confirmed"] and found["reason"] == "limit", done.text
    least, most = sorted([before, full_rate()])  # a shared machine is faster at times
    assert 0.82 * least <= found["holds"] <= 1.05 * most, f"of {least} to {most} a second: {done.text}"


@pytest.mark.verify
def test_an_interrupted_search_says_what_is_known(target: serverkit.Server, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    short = ["--users", "2..64", "--step", "2s", "--settle", "1s", "--sio-check", "CALL: fail_ratio < 1%"]
    args = ["capacity", target.url, "--emit", "echo", "--ack", *short, "--sio-report", str(report)]
    with serverkit.Process([sys.executable, "-m", "sioload.cli.main", *args], cwd=tmp_path) as process:
        process.wait_for(r"held\n", 60)
        process.popen.send_signal(2)
        assert process.wait(30) == 0, str(process)
    found = json.loads(report.read_text())["capacity"]
    assert (found["holds"], found["reason"], found["confirmed"]) == (2, "interrupted", False)


def test_the_manuals_example_with_a_locustfile_finds_what_holds(
    target: serverkit.Server, tmp_path: Path
) -> None:
    manual = (serverkit.ROOT / "locustfiles" / "README.md").read_text(encoding="utf-8")
    written = re.search(r"^sioload (capacity locustfile\.py .*--users.*)$", manual, re.MULTILINE)
    assert written is not None
    here = {
        "locustfile.py": str(serverkit.ROOT / "locustfiles" / "echo.py"),
        "URL": target.url,
        "100..10000": "2..4",
        "CALL: p99 < 100ms": "CALL: p99 < 5s",
    }
    args = [here.get(word, word) for word in shlex.split(written[1])]
    report = tmp_path / "report.json"
    # What a project's configuration says of load is of other runs.
    (tmp_path / "locust.conf").write_text(
        "users = 9\nrun-time = 2s\nsio-phases = 1 users for 1s\nreset-stats = true\n"
    )
    run = serverkit.run_sioload(
        [*args, "--step", "2s", "--settle", "2s", "--sio-report", str(report)], cwd=tmp_path
    )
    assert run.code == 0, run.text
    assert json.loads(report.read_text())["capacity"]["holds"] == 4, run.text


#: Each holds a row of its own, of which there are five.
HOLDING = """
from locust import constant, task
from sioload import SocketIOUser, feed

accounts = feed([{"name": str(number)} for number in range(5)], when_empty=WHEN)

class Member(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"], "version": 4}

    def on_start(self):
        accounts.take(self)
        self.sio.connect()

    @task
    def say(self):
        self.sio.call("echo", 1)
"""


@pytest.mark.parametrize("when", ["stop", "wait"])
def test_a_feed_with_fewer_rows_than_users_is_no_limit_of_the_server(
    when: str, target: serverkit.Server, tmp_path: Path
) -> None:
    script = tmp_path / "holding.py"
    script.write_text(HOLDING.replace("WHEN", repr(when)))
    done, report = capacity(
        tmp_path, script, "--host", target.url, "--users", "4..16", "--step", "1s", "--settle", "1s",
        "--sio-check", "CALL: p99 < 5s",
    )  # fmt: skip
    found = report["capacity"]
    assert done.code == report["exit_code"] == 4, done.text
    assert (found["holds"], found["breaks"], found["reason"]) == (4, None, "generator"), done.text
    assert found["levels"][-1]["lacked"] == [
        "3 users found no row of list 1 free: give it more rows, or fewer users"
    ]
    assert (
        "holds at least 4 users" in found["summary"] and "3 users found no row of list 1" in found["summary"]
    )
    assert found["summary"].split("; ")[-1] in " ".join(done.out.split())


#: Its process may have twelve descriptors more than it begins with.
CRAMPED = """
import os, resource
from locust import constant, task
from sioload import SocketIOUser

limit = len(os.listdir("/proc/self/fd")) + 12
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

class Guest(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"], "version": 4}

    @task
    def say(self):
        self.sio.call("echo", 1)
"""


def test_a_machine_without_descriptors_is_no_limit_of_the_server(
    target: serverkit.Server, tmp_path: Path
) -> None:
    script = tmp_path / "cramped.py"
    script.write_text(CRAMPED)
    done, report = capacity(
        tmp_path, script, "--host", target.url, "--users", "8..32", "--step", "1s", "--settle", "1s",
        "--sio-check", "CALL: p99 < 5s",
    )  # fmt: skip
    found = report["capacity"]
    assert done.code == report["exit_code"] == 4, done.text
    assert (found["holds"], found["breaks"], found["reason"]) == (8, None, "generator"), done.text
    (lacked,) = found["levels"][-1]["lacked"]
    assert re.fullmatch(r"\d+ connections couldn't be dialled from here: .*\(raise ulimit -n\)", lacked)
    assert "holds at least 8 users" in found["summary"] and found["summary"].endswith(lacked)
