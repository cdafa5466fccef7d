"""Kinds of users: rows of their own by `label` and `name=`, and what became of each class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import serverkit

SCRIPT = """
from locust import constant, task
from locust.exception import StopUser
from sioload import SocketIOUser, on, stamp

class Member(SocketIOUser):
    fixed_count = 3
    wait_time = constant(0.3)
    options = {"transports": ["websocket"], "namespaces": ["/chat"], "auth": {"token": "secret"}}

    def on_start(self):
        self.sio.connect()
        self.sio.emit("join", {"room": "r"}, namespace="/chat")

    @task
    def say(self):
        self.sio.call("message", {"room": "r", "sent": stamp()}, namespace="/chat")

    @on("message", namespace="/chat", sent_at=lambda m: m["sent"], name="talk")
    def heard(self, m): ...

class Moderator(Member):
    label = "moderator"
    fixed_count = 2

class Guest(SocketIOUser):
    fixed_count = 1
    label = "guest"
    options = {"transports": ["websocket"]}

    @task
    def leave(self):
        self.sio.wait_for("nothing", timeout=0.2)

class Stranger(SocketIOUser):
    fixed_count = 1
    tasks = [lambda user: None]
    label = "stranger"
    options = {"namespaces": ["/chat"], "reconnection_attempts": 0, "transports": ["websocket"]}

class Leaver(SocketIOUser):
    fixed_count = 1

    @task
    def go(self):
        raise StopUser
"""


def test_each_kind_has_rows_of_its_own(target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(SCRIPT)
    check = ["--sio-check", "CALL[/chat message @moderator]: count > 2"]
    args = ["-f", "locustfile.py", "--host", target.url, "--headless", "-u", "8", "-r", "8", "-t", "4s",
            "--sio-report", "r.json", *check, "--processes", "2"]  # fmt: skip
    done = serverkit.run_locust(args, 60, cwd=tmp_path)
    report = json.loads((tmp_path / "r.json").read_text())
    assert done.code == 1 and report["checks"][0]["ok"], done.text  # the stranger is refused
    rows = {(event["type"], event["name"]): event for event in report["events"]}
    for kind in ("", " @moderator"):
        for row in (("CALL", "/chat message"), ("PUSH", "/chat talk"), ("EMIT", "/chat join"),
                    ("CONNECT", "/chat"), ("OPEN", "websocket"), ("DIAL", "tcp"),
                    ("DISCONNECT", "client")):  # fmt: skip
            assert rows[row[0], row[1] + kind]["count"] > 0 == rows[row[0], row[1] + kind]["failures"], row
    assert rows["CONNECT", "/chat"]["count"] == 3 and rows["CONNECT", "/chat @moderator"]["count"] == 2
    assert rows["CONNECT", "/chat @stranger"]["failures"] == 1 and ("PUSH", "/chat message") not in rows
    assert rows["WAIT", "nothing @guest"]["failures"] > 0
    acks = target.counts()["acks"]["/chat"]["message"]
    assert acks == rows["CALL", "/chat message"]["count"] + rows["CALL", "/chat message @moderator"]["count"]
    users = {
        one["class"]: [one[key] for key in ("asked", "ran", "died", "left")]
        for one in report["users"]["classes"]
    }
    assert users.pop("Leaver")[3] >= 1
    assert users == {"Member": [3, 3, 0, 0], "Moderator": [2, 2, 0, 0], "Guest": [1, 1, 0, 0],
                     "Stranger": [1, 0, 1, 0]}  # fmt: skip


FAULTY = """
from locust import constant, task
from sioload import SocketIOUser, on, stamp

class Moderator(SocketIOUser):
    label = "moderator"
    wait_time = constant(0.3)

    def raises(self, *args):
        raise ValueError("no")

    @task
    def say(self):
        self.sio.emit("echo", 1, callback=self.raises, name="asked")
        self.sio.emit("echo", 1)
        self.sio.call("message", 1)

    @on("echo", delivery=lambda n: n / 0)
    def echoed(self, n):
        raise ValueError("no")

    @on("message", room=lambda n: n / 0)
    def heard(self, n): ...
"""


@pytest.mark.parametrize("more", [[], ["--sio-trace", "t.jsonl"]], ids=["", "followed"])
def test_rows_of_what_a_script_raises_end_with_the_label(
    target: serverkit.Server, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "locustfile.py").write_text(FAULTY)
    args = ["-f", "locustfile.py", "--host", target.url, "--headless", "-u", "2", "-t", "3s", *more]
    done = serverkit.run_locust([*args, "--sio-report", "r.json"], 60, cwd=tmp_path)
    events = json.loads((tmp_path / "r.json").read_text())["events"]
    assert done.code == 1 and {event["name"] for event in events if event["failures"]} == {
        f"{name} @moderator"
        for name in ("asked (callback)", "echo (handler)", "echo (delivery)", "message (room)")
    }, done.text
