"""A locustfile written for Locust's own `SocketIOUser` runs after changing its import, and nothing else."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serverkit

SERVER = Path(__file__).with_name("rooms_server.py")
BEFORE = "from locust.contrib.socketio import SocketIOUser"
AFTER = "from sioload import SocketIOUser"
SCRIPT = """
from threading import Event
import gevent
from locust import HttpUser, constant, task
from socketio import Client
{imported}


class Member(SocketIOUser, HttpUser):
    options = {{"logger": False}}
    wait_time = constant(0.2)
    event: Event

    def on_start(self) -> None:
        self.sio.connect("{url}", wait_timeout=10)
        self.sio_greenlet = gevent.spawn(self.sio.wait)

    @task
    def talk(self):
        self.event = Event()
        assert self.sio.call("join_room", {{"room": "one"}}) == "joined"
        self.sio.on("chat_message", self.heard)
        Client.call(self.sio, "send_message", {{"room": "one", "message": "first"}})
        self.sio.emit("send_message", {{"room": "one", "message": "second"}})
        assert self.event.wait(5)
        self.sio.call("leave_room", {{"room": "one"}})
        self.client.get("/")

    {handler}

    def on_stop(self) -> None:
        self.sio.disconnect()
"""
PLAIN = """def heard(self, data: str) -> None:
        self.sio.on_message("chat_message", data)
        if data == "second":
            self.event.set()"""
WITH_EVENT = """def heard(self, event: str, data: str) -> None:
        self.sio.on_message(event, data)
        if data == "second":
            self.event.set()"""


@pytest.fixture
def rooms() -> Iterator[str]:
    with serverkit.Process([sys.executable, SERVER]) as process:
        yield f"127.0.0.1:{process.wait_for(serverkit.READY, 20).group(1)}"


def run(rooms: str, folder: Path, imported: str, handler: str, *options: str) -> serverkit.Run:
    """A run until its users have left a room a few times."""
    file, url = folder / "locustfile.py", f"http://{rooms}"
    file.write_text(SCRIPT.format(imported=imported, url=f"ws://{rooms}", handler=handler))
    before = left(url)
    load = ["-f", file, "--headless", "-u", "2", "-r", "2", "-H", url]
    with serverkit.Process(serverkit.locust([*load, *options])) as process:
        deadline = time.monotonic() + 40
        while left(url) < before + 4:
            assert process.popen.poll() is None and time.monotonic() < deadline, str(process)
            time.sleep(0.1)
        process.signal(signal.SIGTERM)
        return serverkit.Run(process.wait(30), process.out, process.err)


def left(url: str) -> int:
    """How often users left a room."""
    times: int = serverkit.counts(url).get("leave_room", 0)
    return times


def test_only_the_import_changes(rooms: str, tmp_path: Path) -> None:
    before = run(rooms, tmp_path, BEFORE, PLAIN)
    assert before.code == 0, before.text
    behind = serverkit.counts(f"http://{rooms}")

    report = tmp_path / "report.json"
    after = run(rooms, tmp_path, AFTER, PLAIN, "--sio-report", str(report))
    assert after.code == 0, after.text
    received = serverkit.counts(f"http://{rooms}")
    rows = {(row["type"], row["name"]): row["count"] for row in json.loads(report.read_text())["events"]}
    for event in ("join_room", "leave_room", "send_message"):
        emitted = rows.get(("CALL", event), 0) + rows.get(("EMIT", event), 0)
        assert emitted == received[event] - behind[event] > 0
    assert rows["RECV", "chat_message"] > 0


def test_handlers_that_take_the_event_first(rooms: str, tmp_path: Path) -> None:
    done = run(rooms, tmp_path, AFTER, WITH_EVENT)
    assert done.code == 0, done.text
