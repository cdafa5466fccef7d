"""Runs whose load follows phases, in one process and on workers, against a real server."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import serverkit

WORKERS = [pytest.param([], marks=pytest.mark.verify), ["--processes", "2"]]
SCRIPT = """
from locust import constant, task
from sioload import Phases, SocketIOUser

class Visitor(SocketIOUser):
    wait_time = constant(0.2)
    options = {"transports": ["websocket"]}

    @task
    def say(self):
        self.sio.call("echo", 1)
"""


def run(folder: Path, url: str, *more: str, script: str = SCRIPT) -> tuple[serverkit.Run, dict[str, Any]]:
    """A run of the script, and its report ({} without one)."""
    (folder / "locustfile.py").write_text(script)
    report = folder / "report.json"
    args = ["-f", "locustfile.py", "--host", url, "--headless", "--sio-report", report, *more]
    done = serverkit.run_locust(args, 60, cwd=folder)
    return done, json.loads(report.read_text()) if report.exists() else {}


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]], ids=["alone", "two workers"])
def test_users_follow_the_plan(tmp_path: Path, target: serverkit.Server, workers: list[str]) -> None:
    plan = "warmup: 0..10 users over 2s; peak: 24 users for 2s; rest: 5 users for 2s"
    done, report = run(tmp_path, target.url, "--sio-phases", plan, *workers)
    assert done.code == 0, done.text
    assert report["users"]["peak"] == 24
    assert report["connections"]["opened"] == 24 == sum(target.counts()["connects"].values())
    assert report["ledger"]["acked"] == target.counts()["acks"]["/"]["echo"]
    assert report["duration_s"] == pytest.approx(6, abs=2)


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "two workers"])
def test_a_phase_begins_at_its_time_and_not_when_locust_asks_next(
    tmp_path: Path, target: serverkit.Server, workers: list[str]
) -> None:
    """A burst between two of its questions was left out."""
    plan = "2 users for 1s; burst: 9 users for 800ms; 2 users for 2s; 2..6 users over 2s; 6 users for 1s"
    done, report = run(tmp_path, target.url, "--sio-phases", plan, *workers)
    assert done.code == 0, done.text
    users = [phase["users"] for phase in report["phases"]]
    assert (users[1]["peak"], users[4]["peak"]) == (9, 6)
    assert sum(each["begun"] for each in users) == 2 + 7 + 4


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "two workers"])
def test_users_come_and_go_as_fast_as_the_spawn_rate_allows(
    tmp_path: Path, target: serverkit.Server, workers: list[str]
) -> None:
    plan = "30 users for 5s; 5 users for 4s"
    done, _ = run(tmp_path, target.url, "-r", "10", "--sio-phases", plan, *workers)
    assert done.code == 0, done.text
    asked = [0, *(int(number) for number in re.findall(r"Shape test updating to (\d+) users", done.err))]
    assert max(asked) == 30 and asked[-1] == 5, done.text
    assert max(abs(one - other) for one, other in pairwise(asked)) < 16  # a question may come late


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "two workers"])
def test_sessions_begin_as_the_plan_says(
    tmp_path: Path, target: serverkit.Server, workers: list[str]
) -> None:
    plan = "0..20/s over 2s; pause: 0/s for 1s; 10/s for 1s"
    done, report = run(tmp_path, target.url, "--sio-phases", plan, "--sio-session-length", "500ms", *workers)
    assert done.code == 0, done.text
    assert sum(target.counts()["connects"].values()) == pytest.approx(30, abs=2)
    assert report["connections"]["closed"] == {"client": report["connections"]["opened"]}
    assert report["ledger"]["open"] == 0


def test_drains_are_durations(tmp_path: Path, target: serverkit.Server) -> None:
    load = ["--sio-phases", "3/s for 1s", "--sio-session-length", "none"]
    done, report = run(tmp_path, target.url, *load, "--sio-session-drain", "500ms", "--sio-drain", "1m30s")
    assert done.code == 0, done.text  # sessions without end were stopped
    assert report["users"]["left"] == 0 and report["connections"]["closed"] == {"client": 3}
    bench = ["bench", target.url, "--emit", "echo", "--ack", *load, "--sio-session-drain", "500ms"]
    done = serverkit.run_sioload([*bench, "--sio-drain", "1m30s"], 60)
    assert done.code == 0, done.text


def test_a_plan_in_the_locustfile(tmp_path: Path, target: serverkit.Server) -> None:
    script = f'{SCRIPT}\n\nclass Load(Phases):\n    phases = ["2 users for 1s", "end: 3 users for 1s"]\n'
    done, report = run(tmp_path, target.url, script=script)
    assert done.code == 0, done.text
    assert report["users"]["peak"] == 3
    done, report = run(tmp_path, target.url, "--sio-phases", "1 users for 1s", script=script)
    assert report["users"]["peak"] == 1
    assert "wins over the shape Load" in done.text


def test_a_list_of_phases_in_a_toml_file_is_one_plan_and_the_command_line_wins(
    tmp_path: Path, target: serverkit.Server
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.locust]\nsio-phases = ["warm: 0..2 users over 1s", "peak: 4 users for 1s"]\n')
    for more, phases in (
        ([], [("warm", "warm: 0..2 users over 1s"), ("peak", "peak: 4 users for 1s")]),
        (["--sio-phases", "3 users for 1s"], [("1", "3 users for 1s")]),
    ):
        done, report = run(tmp_path, target.url, *more)
        assert done.code == 0, done.text
        assert [(phase["name"], phase["load"]) for phase in report["phases"]] == phases
    project.write_text('[tool.locust]\nsio-phases = ["a: 2 users for 1s", "a: 4 users for 1s"]\n')
    done, _ = run(tmp_path, target.url)
    assert done.code == 2 and "the name is taken by an earlier phase" in done.err, done.text


def test_workers_need_none_of_the_options_that_phases_have(tmp_path: Path, target: serverkit.Server) -> None:
    """The length of sessions is said to the master alone, who deals them out."""
    (tmp_path / "locustfile.py").write_text(f'{SCRIPT}\n\nclass Load(Phases):\n    phases = "10/s for 2s"\n')
    port = str(serverkit.free_port())
    ports = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers-max-wait", "30"]
    mine = ["--master", "--headless", "--host", target.url, "--sio-session-length", "300ms", *ports]
    theirs = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    with (
        serverkit.Process(serverkit.locust(["-f", "locustfile.py", *mine]), cwd=tmp_path) as master,
        serverkit.Process(serverkit.locust(["-f", "locustfile.py", *theirs]), cwd=tmp_path) as worker,
    ):
        assert master.wait(60) == 0 == worker.wait(30), f"{master}\n{worker}"
    assert sum(target.counts()["connects"].values()) == pytest.approx(20, abs=1)


SLOW_START = f"""
{SCRIPT}
import gevent
from locust import events

@events.init.add_listener
def add(environment, runner, **_):
    if not hasattr(runner, "worker_state"):
        environment.events.test_start.add_listener(lambda **_: gevent.sleep(3.5))
"""


@pytest.mark.parametrize("workers", WORKERS, ids=["alone", "two workers"])
def test_users_come_in_their_phase_however_long_the_script_prepares(
    tmp_path: Path, target: serverkit.Server, workers: list[str]
) -> None:
    plan = "one: 2 users for 5s; two: 4 users for 3s; three: 6 users for 2s"
    done, report = run(tmp_path, target.url, "--sio-phases", plan, *workers, script=SLOW_START)
    assert done.code == 0, done.text
    assert [phase["users"]["begun"] for phase in report["phases"]] == [2, 2, 2], report["phases"]


def test_a_plan_begins_when_there_are_workers(tmp_path: Path, target: serverkit.Server) -> None:
    """Someone presses Start in the web UI before any has come."""
    (tmp_path / "locustfile.py").write_text(SCRIPT)
    web, port = serverkit.free_port(), str(serverkit.free_port())
    bind = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    mine = [*bind, "--web-host", "127.0.0.1", "--web-port", str(web), "--sio-phases", "3 users for 2s"]
    theirs = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    script = ["-f", "locustfile.py", "--host", target.url]
    with serverkit.Process(serverkit.locust([*script, *mine]), cwd=tmp_path) as master:
        master.wait_for("Starting web interface", 40)
        post(f"http://127.0.0.1:{web}/swarm", {"user_count": 1, "spawn_rate": 1}, master)
        master.wait_for("before at least one worker", 20)
        with serverkit.Process(serverkit.locust([*script, *theirs]), cwd=tmp_path):
            deadline, page = time.monotonic() + 40, f"http://127.0.0.1:{web}/sioload/report.json"
            while not ((report := serverkit.http_json(page))["phases"] and report["final"]):
                assert time.monotonic() < deadline, f"{report['phases']} {master}"
                time.sleep(0.1)
    assert report["users"]["peak"] == 3 == sum(target.counts()["connects"].values())


def test_the_form_of_the_web_ui_chooses_plans(tmp_path: Path, target: serverkit.Server) -> None:
    plans = "".join(
        f'\n\nclass {name}(Phases):\n    phases = "{name.lower()}: {users} users for 1s"\n'
        for name, users in (("Few", 2), ("More", 5))
    )
    (tmp_path / "locustfile.py").write_text(SCRIPT + plans)
    port = serverkit.free_port()
    web = f"http://127.0.0.1:{port}"
    args = ["-f", "locustfile.py", "--host", target.url, "--class-picker", "--web-host", "127.0.0.1",
            "--web-port", str(port), "--sio-phases", "told: 3 users for 1s"]  # fmt: skip
    with serverkit.Process(serverkit.locust(args), cwd=tmp_path) as process:
        process.wait_for("Starting web interface", 40)
        for shape, name, peak in (("More", "more", 5), ("Few", "few", 2), ("--sio-phases", "told", 3)):
            form = {"user_count": 1, "spawn_rate": 1, "user_classes": "Visitor", "shape_class": shape}
            post(f"{web}/swarm", form, process)
            deadline = time.monotonic() + 20
            while True:
                report = serverkit.http_json(f"{web}/sioload/report.json")
                if report["final"] and [phase["name"] for phase in report["phases"]] == [name]:
                    break
                assert time.monotonic() < deadline, f"{report['phases']} {process}"
                time.sleep(0.1)
            assert report["users"]["peak"] == peak
        assert "Traceback" not in process.err, str(process)


def post(url: str, form: dict[str, Any], process: serverkit.Process) -> None:
    """Send a form to a web UI, which may only just begin to listen."""
    for _ in range(100):
        try:
            return urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30).close()
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(f"no web UI: {process}")


def test_a_plan_takes_the_place_of_users_in_the_form_and_the_settings(
    tmp_path: Path, target: serverkit.Server
) -> None:
    """The web UI doesn't ask for what it can't use, and the HTML report doesn't tell Locust's default."""
    plan = "warmup: 3 users for 1s"
    done, _ = run(tmp_path, target.url, "--sio-phases", plan, "--sio-html", str(tmp_path / "report.html"))
    assert done.code == 0, done.text
    page = (tmp_path / "report.html").read_text()
    assert f'<td>phases</td><td class="name">{plan}</td>' in page
    assert "<td>--users</td>" not in page and "<td>--spawn-rate</td>" not in page


def test_what_makes_no_sense_is_one_line_before_any_load(tmp_path: Path, target: serverkit.Server) -> None:
    plan = ["--sio-phases", "5 users for 1s"]
    for more, said in (
        (["--sio-phases", "5 usrs for 1s"], "nearest: 'users'"),
        ([*plan, "-u", "5"], "-u and phases exclude each other"),
        ([*plan, "-t", "5s"], "-t and phases exclude each other"),
        ([*plan, "--reset-stats"], "--reset-stats and phases exclude each other"),
        ([*plan, "--sio-session-length", "1s"], "the phases name users"),
        (["--sio-phases", "5/s for 1s"], "--sio-session-length"),
        (["--sio-phases", "5/s for 1s", "--sio-session-length", "long"], "'long' is no duration"),
        (["-u", "5", "-t", "1s", "--sio-session-length", "1s"], "of phases of sessions per second"),
    ):
        done, _ = run(tmp_path, target.url, *more)
        assert done.code == 2, done.text
        assert said in done.err and "Traceback" not in done.err, done.text
    wrong = f"{SCRIPT}\n\nclass Load(Phases):\n    phases = 7\n"
    done, _ = run(tmp_path, target.url, script=wrong)
    assert done.code == 2 and "Load needs phases" in done.err, done.text
    assert not sum(target.counts()["connects"].values())


def test_bench_takes_phases_in_place_of_users(tmp_path: Path, target: serverkit.Server) -> None:
    report = tmp_path / "report.json"
    load = ["--sio-phases", "2 users for 1s; 5 users for 2s", "--sio-report", report]
    done = serverkit.run_sioload(["bench", target.url, "--emit", "echo", "--ack", *load], 60)
    assert done.code == 0, done.text
    assert json.loads(report.read_text())["users"]["peak"] == 5
    parts = ["--sio-phases", "1 users for 1s", "--sio-phases", "up: 2 users over 1s", "--sio-report", report]
    done = serverkit.run_sioload(["bench", target.url, "--emit", "echo", "--ack", *parts], 60)
    assert [phase["name"] for phase in json.loads(report.read_text())["phases"]] == ["1", "up"], done.text
    done = serverkit.run_sioload(["bench", target.url, "--emit", "echo", "--users", "3", *load], 60)
    assert done.code == 2 and "-u and phases exclude each other" in done.err, done.text
    done = serverkit.run_sioload(["bench", target.url, "--emit", "echo", "--sio-phases", "5 user"], 60)
    assert done.code == 2 and "expected for or over" in done.err, done.text
