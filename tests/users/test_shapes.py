"""`Arrivals`: sessions begin at their rate and end at their length, in one process and on workers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import serverkit

USERS = Path(__file__).with_name("rated.py")
RATE, DURATION = 10, 4


def run(folder: Path, url: str, users: str, *more: str, duration: int = DURATION) -> dict[str, Any]:
    """The report of a run, its rows by type and name."""
    args = [
        "-f",
        USERS,
        "--host",
        url,
        "--headless",
        "--only-summary",
        "--sio-report",
        folder / "report.json",
    ]
    env = {"USERS": users, "SPANS": str(folder / "spans"), "DURATION": str(duration)}
    done = serverkit.run_locust([*args, *more], 60, env=env)
    assert done.code == 0, done.text
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    report["rows"] = {(event["type"], event["name"]): event for event in report["events"]}
    return report


@pytest.mark.parametrize("workers", [0, 2])
def test_sessions_arrive_at_their_rate_and_end(
    tmp_path: Path, target: serverkit.Server, workers: int
) -> None:
    more = ["--processes", str(workers)] if workers else []
    report = run(tmp_path, target.url, "Session", *more)
    assert report["rows"]["CONNECT", "/"]["count"] == pytest.approx(RATE * DURATION, abs=1)
    assert report["connections"]["closed"] == {"client": report["connections"]["opened"]}
    assert RATE / 2 <= report["users"]["peak"] <= 2 * RATE, "sessions of 1 s, 10 a second"
    assert report["ledger"]["open"] == 0 and report["untrusted"] == []
    assert sum(target.counts()["connects"].values()) == report["connections"]["opened"]


def test_sessions_arrive_whether_earlier_ones_get_on_or_not(tmp_path: Path, target: serverkit.Server) -> None:
    """Each is busy for three seconds, though it was to last one: the crowd grows."""
    report = run(tmp_path, target.url, "SlowSession")
    assert report["rows"]["CONNECT", "/"]["count"] == pytest.approx(RATE * DURATION, abs=1)
    assert report["users"]["peak"] > 2 * RATE
    assert report["ledger"]["indeterminate"] == report["ledger"]["open"] == 0


def test_without_a_duration_the_run_time_ends_it(tmp_path: Path, target: serverkit.Server) -> None:
    report = run(tmp_path, target.url, "Session", "-t", "2s", duration=0)
    assert report["rows"]["CONNECT", "/"]["count"] == pytest.approx(20, abs=4)


@pytest.mark.parametrize(
    "body, said",
    [
        ("rate = 5", "session_length"),
        ("session_length = 5", "rate"),
        ("rate = 0; session_length = 1", "rate"),
        ("rate = 1; session_length = -1", "session_length must be seconds above 0"),
        ("rate = 1; session_length = 1; duration = 0", "duration must be seconds above 0"),
        ("rate = 1; session_length = None", "session_length must be a number of seconds, such as 5"),
        ("rate = 1; session_length = 1; duration = lambda self: 5", "duration must be a number of seconds"),
        ("rate = 1; session_length = lambda: None", "session_length must return seconds, not None"),
        ("rate = 1; session_length = lambda self: 5", "session_length is a function without arguments"),
    ],
)
def test_a_shape_that_makes_no_sense_ends_the_run_before_it_starts(
    tmp_path: Path, body: str, said: str
) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        "from locust import task\n"
        "from sioload import Arrivals, SocketIOUser\n"
        f"class Crowd(Arrivals): {body}\n"
        "class Wrong(SocketIOUser):\n"
        "    host = 'http://127.0.0.1:9'\n"
        "    @task\n"
        "    def work(self): pass\n"
    )
    done = serverkit.run_locust(["-f", script, "--headless"], cwd=tmp_path)
    assert done.code == 2 and done.err.startswith("sioload: Crowd") and said in done.err, done.text
    assert done.err.count("\n") == 1, done.text


FIXED = """
from locust import HttpUser, constant, task
from sioload import SocketIOUser

class Guest(SocketIOUser):
    wait_time = constant(1)
    @task
    def rest(self): ...

class Watcher(HttpUser):
    wait_time = constant(1)
    fixed_count, weight = 1, {weight}
    @task
    def watch(self): ...
"""


@pytest.mark.parametrize("weight, said, guests", [(1, "its weight counts", 4), (0, "there is none", 8)])
def test_a_fixed_count_is_told_to_mean_nothing_to_sessions(
    tmp_path: Path, target: serverkit.Server, weight: int, said: str, guests: int
) -> None:
    script, report = tmp_path / "fixed.py", tmp_path / "report.json"
    script.write_text(FIXED.format(weight=weight))
    plan = ["--sio-phases", "8/s for 1s", "--sio-session-length", "1s", "--sio-report", report]
    done = serverkit.run_locust(["-f", script, "--host", target.url, "--headless", *plan], 40)
    assert done.code == 0, done.text
    (line,) = [line for line in done.err.splitlines() if "fixed_count" in line and "sioload" in line]
    assert "Watcher.fixed_count means nothing to sessions" in line and said in line
    assert json.loads(report.read_text())["connections"]["opened"] == guests, done.text


DEALT = """
from collections import Counter
from itertools import islice
from locust import User
from sioload.load.arrivals import dealt, weighted

class Usual(User):
    weight = 3

class Rare(User):
    weight = 1

for workers in (2, 3, 4):
    sessions = islice(dealt(weighted([Usual, Rare])), 240)
    found = Counter((cls.__name__, turn % workers) for cls, turn in sessions)
    print(workers, *sorted(found.values()))
"""


def test_each_worker_gets_its_share_of_each_class() -> None:
    done = serverkit.run([sys.executable, "-c", DEALT], 60)
    assert done.code == 0, done.text
    assert done.out.splitlines() == ["2 30 30 90 90", "3 20 20 20 60 60 60", "4 15 15 15 15 45 45 45 45"]


EARLY = """
import gevent
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from sioload.load.arrivals import begin
from sioload.net.fleet import fleet_of

class Visitor(User):
    @task
    def leave(self):
        raise StopUser

environment = Environment(user_classes=[Visitor])
runner = environment.create_local_runner()
runner.start(1, 1)
while runner.state != "running":
    gevent.sleep(0.01)
deadlines = fleet_of(environment).deadlines
before = len(deadlines)
for _ in range(20):
    begin(runner, "Visitor", 3600)
begun = len(deadlines) - before
runner.user_greenlets.join(5)
print(begun, len(deadlines) - before)
"""


def test_nothing_is_kept_of_a_session_that_ended_before_its_time() -> None:
    done = serverkit.run([sys.executable, "-c", EARLY], 60)
    assert done.code == 0 and done.out.split() == ["20", "0"], done.text


SWINGING = """
import gc
from locust import User, constant, task
from locust.env import Environment
from sioload.swarm import attach

class Visitor(User):
    wait_time = constant(1)

    @task
    def stay(self):
        pass

environment = Environment(user_classes=[Visitor])
runner = environment.create_local_runner()
attach(environment)
frozen = []
environment.events.spawning_complete.add_listener(lambda **_: frozen.append(gc.get_freeze_count()))
for users in (4, 8, 4, 8, 4, 8):
    for _ in range(1000):
        garbage = []
        garbage.append(garbage)
    runner.start(users, 100)
    runner.spawning_greenlet.join()
runner.quit()
print(*frozen)
"""


def test_a_load_that_changes_all_the_time_keeps_no_garbage(tmp_path: Path) -> None:
    script = tmp_path / "swinging.py"
    script.write_text(SWINGING)
    done = serverkit.run([sys.executable, script], 30, cwd=tmp_path)
    assert done.code == 0, done.text
    first, most, *later = map(int, done.out.split())
    assert first < most and max(later) <= most, done.out
