"""Logins of NestJS and of Flask-SocketIO, as the manual does them: who gets in, how, and who doesn't."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serverkit

HERE = Path(__file__).resolve().parent
WAYS = {"Polling": "polling", "Websocket": "websocket", "Upgrade": "websocket"}
MEMBERS = {client + way: WAYS[way] for client in ("Own", "Http", "Fast") for way in WAYS}
Rows = dict[tuple[str, str], dict[str, Any]]


def visit(server: serverkit.Server, script: str, folder: Path) -> tuple[serverkit.Run, dict[str, Any], Rows]:
    """A run of the script's users: what it showed, its report, and that one's rows."""
    server.reset()
    argv = ["-f", HERE / script, "--host", server.url, "--headless", "-u", "11", "-r", "20", "-t", "50s",
            "--only-summary", "--sio-report", folder / "report.json"]  # fmt: skip
    done = serverkit.run_locust(argv, cwd=folder)
    report = json.loads((folder / "report.json").read_text())
    assert "Traceback" not in done.text, done.text
    return done, report, {(row["type"], row["name"]): row for row in report["events"]}


def people(server: serverkit.Server) -> dict[str, dict[str, Any]]:
    """What the server knows of each of its users, once all have left."""
    deadline = time.monotonic() + 10
    while True:
        seen: dict[str, dict[str, Any]] = server.counts()["people"]
        if all(person["connects"] == person["disconnects"] for person in seen.values()):
            return seen
        assert time.monotonic() < deadline, f"still inside: {seen}"
        time.sleep(0.05)


def assert_members(seen: dict[str, dict[str, Any]], rows: Rows, message: str) -> None:
    """Each came in once, in its way, and said what the rows say."""
    members = {name: person for name, person in seen.items() if name in MEMBERS}
    assert {name: person["transport"] for name, person in members.items()} == MEMBERS
    assert [person["connects"] for person in seen.values()] == [1] * 10
    said = rows["CALL", message]
    assert sum(person["messages"] for person in members.values()) == said["count"] >= 27
    assert said["failures"] == rows["POST", "/login"]["failures"] == 0
    assert (rows["OPEN", "polling"]["failures"], rows["OPEN", "websocket"]["count"]) == (0, 3)
    assert rows["UPGRADE", "websocket"]["failures"] == 0, rows["UPGRADE", "websocket"]
    assert rows["POST", "/login"]["count"] == 10


def test_nestjs(servers: Callable[..., serverkit.Server], tmp_path: Path) -> None:
    server = servers("nest")
    done, report, rows = visit(server, "nest_users.py", tmp_path)
    seen = people(server)
    assert_members(seen, rows, "/chat message")
    # Nest makes an ack of a returned value, an event of {event, data}, `exception` of a WsException.
    asked, rude = rows["REPLY", "/chat ask>answer"], rows["REPLY", "/chat rude>exception"]
    assert (asked["failures"], rude["failures"]) == (0, 0)
    assert rude["count"] == seen["Rude"]["messages"] > 0
    assert rows["RECV", "/chat exception (handler)"]["errors"] == {"ValueError: no text": rude["count"]}
    assert report["ledger"]["acked"] == report["ledger"]["emits"], report["ledger"]
    # Who has no token is refused by a middleware, and dropped by `handleConnection`: once each.
    assert server.counts()["turned_away"] == {"/chat": 1, "/staff": 1}
    assert server.counts()["sessions"] == 12, "one for each user, and two of who was turned away twice"
    told = "REFUSED connect: namespace /staff refused: who are you? {'message': 'who are you?', 'data': "
    assert told + "{'login': '/login'}}" in done.out, done.text
    assert rows["CONNECT", "/staff"]["errors"] == {"refused: who are you?": 1}
    assert rows["DISCONNECT", "namespace closed"]["errors"] == {"the server closed the namespace": 1}
    assert "STAYED AWAY" in done.out, done.text


def test_flask_socketio(servers: Callable[..., serverkit.Server], tmp_path: Path) -> None:
    server = servers("flask")
    done, report, rows = visit(server, "flask_users.py", tmp_path)
    assert_members(people(server), rows, "message")
    assert rows["CALL", "whoami"]["failures"] == rows["GET", "/login"]["failures"] == 0
    # A handler that raises never acks; where there is a handler of errors, its answer is the ack.
    crashed = rows["CALL", "crash"]
    assert crashed["errors"] == {"no ack in time": crashed["count"]} and crashed["count"] > 0
    assert rows["CALL", "/quiet crash"]["failures"] == 0
    ledger = report["ledger"]
    assert (ledger["timeout"], ledger["acked"]) == (crashed["count"], ledger["emits"] - crashed["count"])
    # Who hasn't logged in is refused once in each namespace, with the reason if there is one.
    assert server.counts()["refused"] == {"/": 1, "/quiet": 1}
    assert server.counts()["sessions"] == 12, "one for each user, and two of who was refused twice"
    assert rows["CONNECT", "/"]["errors"] == {"refused: log in first": 1}
    assert rows["CONNECT", "/quiet"]["errors"] == {"refused: Connection rejected by server": 1}
    assert "REFUSED connect: namespace / refused: log in first" in done.out, done.text
