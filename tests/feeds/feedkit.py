"""Runs whose users take accounts from a feed, against a server that takes each account once at a time."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import serverkit

SERVER = Path(__file__).with_name("accounts_server.py")
#: Users whose calls take 1.5 s, so that most are open whenever a user is stopped.
SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser, feed

accounts = feed("accounts.csv", when_empty="{when_empty}")

class Member(SocketIOUser):
    wait_time = constant(0.2)
    options = {{"transports": ["websocket"]}}

    def on_start(self):
        me = accounts.take(self)
        assert accounts.take(self) is me
        self.sio.connect(auth={{"token": me["token"]}})

    @task
    def slow(self):
        self.sio.call("slow", 1)
"""


class Accounts:
    """The server, the runs against it, and what both say of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = serverkit.Process([sys.executable, SERVER])
        self.processes = [self.server]

    def __enter__(self) -> Accounts:
        port = self.server.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1)
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.close()

    def write(self, rows: int, script: str = SCRIPT, when_empty: str = "wait") -> None:
        """The locustfile, and a file of so many accounts."""
        (self.folder / "locustfile.py").write_text(script.format(when_empty=when_empty))
        lines = [f"user{number},t{number}\n" for number in range(rows)]
        (self.folder / "accounts.csv").write_text("name,token\n" + "".join(lines))

    def start(
        self, *args: str | Path, file: str = "locustfile.py", cwd: Path | None = None
    ) -> serverkit.Process:
        """Start Locust.

        Workers write the script that their master sends into the folder for temporary files, under one name
        for all: side by side, one may read what another has just begun to write.
        """
        env = {"TMPDIR": str(cwd)} if cwd else None
        process = serverkit.Process(serverkit.locust(["-f", file, *args]), cwd=cwd or self.folder, env=env)
        self.processes.append(process)
        return process

    def load(self, *more: str) -> list[str]:
        """The arguments of the process that reports."""
        return ["--host", self.url, "--headless", "--sio-report", "report.json", *more]

    def run(self, *more: str, code: int = 0, timeout: float = 60.0) -> serverkit.Run:
        """A run to its end."""
        process = self.start(*self.load(*more))
        assert process.wait(timeout) == code, str(process)
        return serverkit.Run(code, process.out, process.err)

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    @property
    def log(self) -> dict[str, Any]:
        """What the server saw."""
        found: dict[str, Any] = serverkit.http_json(f"{self.url}/log", timeout=30)
        return found

    def forget(self) -> None:
        """Let the server's log begin anew."""
        serverkit.http_json(f"{self.url}/log", method="POST")

    def inside(self, count: int, timeout: float = 90.0) -> None:
        """Wait until so many accounts are logged in."""
        until = time.monotonic() + timeout
        while (found := len(self.log["inside"])) != count:
            said = "\n".join(map(str, self.processes))
            assert time.monotonic() < until, f"{found} inside, not {count}\n{said}"
            time.sleep(0.1)


def assert_rows_in_order(logins: list[tuple[float, str]], rows: int) -> None:
    """Every row was used before any was used again; those taken at one time log in a little out of order."""
    times: dict[str, list[float]] = defaultdict(list)
    for when, account in logins:
        times[account].append(when)
    again = [seen[1] for seen in times.values() if len(seen) > 1]
    if again:
        assert len(times) == rows, sorted(times)
        assert max(seen[0] for seen in times.values()) < min(again) + 1.0
