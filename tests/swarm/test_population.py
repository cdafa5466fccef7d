"""What became of users, and why a run's exit code isn't 0, stands in report, summary and last line."""

from __future__ import annotations

import re
from pathlib import Path

import serverkit
from swarmkit import Swarm, scene

USERS = Path(__file__).parent / "fated_users.py"


@scene
def test_users_that_die_or_leave_are_told_apart_alone(swarm: Swarm) -> None:
    users_are_told_apart(swarm)


@scene
def test_users_that_die_or_leave_are_told_apart_with_workers(swarm: Swarm) -> None:
    users_are_told_apart(swarm, "--processes", "2")


@scene
def test_users_that_leave_by_their_method_stop_are_told_apart(swarm: Swarm) -> None:
    users_are_told_apart(swarm, leaves="in its task")


@scene
def test_users_that_a_handler_lets_leave_are_told_apart_with_workers(swarm: Swarm) -> None:
    users_are_told_apart(swarm, "--processes", "2", leaves="in a handler")


def users_are_told_apart(swarm: Swarm, *more: str, leaves: str = "") -> None:
    html = swarm.folder / "ours.html"
    check = ["--sio-check", "run: peak_users == 10"]
    args = swarm.args("-f", USERS, "-t", "3s", "--sio-html", html, *check, *more, users=14)
    closed = f"http://127.0.0.1:{serverkit.free_port()}"
    assert swarm.run(args, {"CLOSED": closed, "LEAVES": leaves}) == 1, str(swarm.processes[0])
    report, out = swarm.report, swarm.processes[0].out
    # Of each six, one raises in `on_start`, one can't connect, one leaves after its first task, one raises in
    # `on_stop`, when the run is over.
    users = {what: count for what, count in report["users"].items() if what != "classes"}
    assert users == {"asked": 14, "peak": 10, "ended": 4, "left": 2}, out
    assert [check["ok"] for check in report["checks"]] == [True]
    raised = {
        (found["kind"], found["place"].rpartition("/")[2]): found["count"] for found in report["exceptions"]
    }
    line = 1 + USERS.read_text().splitlines().index('            raise KeyError("odd task")')
    start = 1 + USERS.read_text().splitlines().index(
        '            raise ZeroDivisionError("canary of on_start")'
    )
    stop = 1 + USERS.read_text().splitlines().index('            raise RuntimeError("canary of on_stop")')
    assert raised.keys() == {
        ("ZeroDivisionError", f"fated_users.py:{start}"),
        ("KeyError", f"fated_users.py:{line}"),
        ("RuntimeError", f"fated_users.py:{stop}"),
    }
    assert raised["RuntimeError", f"fated_users.py:{stop}"] == 2
    assert raised["ZeroDivisionError", f"fated_users.py:{start}"] == 2
    assert raised["KeyError", f"fated_users.py:{line}"] > 4
    assert re.match(
        r"\d+ failures: .*CONNECT / 4 \(dial: .*exceptions: KeyError at ", report["exit_reason"]
    ), report["exit_reason"]
    assert "POST /no-such-login 2 (404)" in report["exit_reason"]
    assert out.splitlines()[-1] == f"exit code 1: {report['exit_reason']}"
    told = "14 users asked for, 10 ran; 4 died (an exception, no connection, no row); 2 left by"
    assert told in " ".join(out.split())
    assert all(
        len(line) <= 80 for line in out.splitlines() if not line.startswith(("exit code", "report", "html"))
    )
    for shown in (html.read_text(), out):
        assert (
            "KeyError" in shown
            and f"fated_users.py:{line}" in shown
            and "14 users asked for, 10 ran" in shown
        )


@scene
def test_a_script_that_sets_the_exit_code_is_named(swarm: Swarm) -> None:
    """Tests of checks, distrust and so on look at their reasons themselves; this one has no row to show."""
    file = swarm.folder / "own_code.py"
    file.write_text(
        "from locust import constant, events, task\nfrom sioload import SocketIOUser\n"
        "class Quiet(SocketIOUser):\n"
        "    wait_time = constant(1)\n"
        "    @task\n"
        "    def rest(self): pass\n"
        "@events.quitting.add_listener\n"
        "def quitting(environment, **_): environment.process_exit_code = 7\n"
    )
    assert swarm.run(swarm.args("-f", file, "-t", "1s", users=2)) == 7
    assert (
        swarm.processes[0].out.splitlines()[-1]
        == "exit code 7: set by the script (environment.process_exit_code)"
    )


LEAVING = """
from locust import HttpUser, constant, task
from locust.exception import InterruptTaskSet, StopUser
from sioload import SocketIOUser

def leave(user):
    raise StopUser

class Leaving:
    wait_time = constant(0.1)
    fixed_count = 1

    def on_stop(self):
        self.room.leave()

class Guest(Leaving, SocketIOUser):
    tasks = [leave]

class Reader(Leaving, HttpUser):
    tasks = [leave]

class Early(SocketIOUser):
    fixed_count = 1

    def on_start(self):
        raise StopUser

    @task
    def rest(self): ...

class Astray(SocketIOUser):
    fixed_count = 1

    @task
    def interrupt(self):
        raise InterruptTaskSet

class Unborn(Leaving, HttpUser):
    def on_start(self):
        raise LookupError("no such room")
"""


@scene
def test_users_that_raise_when_they_leave_had_run(swarm: Swarm) -> None:
    """Locust tells of no such exception, and they had got through their `on_start`.

    Who leaves in there has left, without a word; who interrupts a set of tasks and is in none is told where.
    """
    file = swarm.folder / "leaving.py"
    file.write_text(LEAVING)
    swarm.run(swarm.args("-f", file, "-t", "2s", users=5))
    out, users = swarm.processes[0].out, swarm.report["users"]
    assert (users["asked"], users["peak"], users["ended"], users["left"]) == (5, 4, 4, 1), out
    ran = {each["class"]: (each["ran"], each["died"]) for each in users["classes"]}
    assert ran == {
        "Guest": (1, 1), "Reader": (1, 1), "Unborn": (0, 1), "Early": (1, 0), "Astray": (1, 1)
    }, out  # fmt: skip
    raised = {
        (each["kind"], each["place"].rpartition("/")[2], each["count"]) for each in swarm.report["exceptions"]
    }
    lines = LEAVING.splitlines()
    leaves = 1 + lines.index("        self.room.leave()")
    begins = 1 + lines.index('        raise LookupError("no such room")')
    strays = 1 + lines.index("        raise InterruptTaskSet")
    assert raised == {
        ("AttributeError", f"leaving.py:{leaves}", 2),
        ("LookupError", f"leaving.py:{begins}", 1),
        ("InterruptTaskSet", f"leaving.py:{strays}", 1),
    }, out
    assert "there is no TaskSet around this task" in out, out
    assert "in _start" not in swarm.processes[0].err, "a traceback of who left in on_start"
