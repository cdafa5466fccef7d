"""Faults in a script, run by plain Locust: one clear line in the terminal, a failure row, the exit code."""

from __future__ import annotations

import json

import serverkit

SCRIPT = """
from locust import constant, task
from sioload import EncodeError, SocketIOUser

class Sloppy(SocketIOUser):
    wait_time = constant(0.5)
    options = {options}

    @task
    def send(self):
        try:
            self.sio.call("echo", {data})
        except EncodeError:
            pass
"""


def run(target, tmp_path, **holes: str) -> serverkit.Run:
    (tmp_path / "locustfile.py").write_text(
        SCRIPT.replace("{options}", holes["options"]).replace("{data}", holes["data"])
    )
    args = [
        "--host",
        target.url,
        "--headless",
        "-u",
        "2",
        "-r",
        "2",
        "-t",
        "3s",
        "--sio-report",
        tmp_path / "report.json",
    ]
    return serverkit.run_locust(args, cwd=tmp_path)


def test_an_event_that_cannot_be_serialised(target, tmp_path):
    done = run(target, tmp_path, options="{}", data='{"room": "a", "users": {1, 2}}')
    assert done.code == 1, done.text
    report = json.loads((tmp_path / "report.json").read_text())
    (call,) = (event for event in report["events"] if event["type"] == "CALL")
    (error,) = call["errors"]
    assert "users" in error and "set can't be sent as JSON" in error
    assert call["failures"] == call["count"] == report["ledger"]["not_sent"] > 0
    assert "received" in target.counts() and target.counts()["received"] == {}
    assert "set can't be sent as JSON" in done.out


def test_an_option_that_is_unknown(target, tmp_path):
    done = run(target, tmp_path, options='{"transprts": ["websocket"]}', data="1")
    assert done.code == 2, done.text
    assert "'transprts' is unknown (nearest: 'transports')" in done.err
    assert target.counts()["connects"] == {}
