"""Runs as people see them: in the web UI, asked for over HTTP, and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import termios
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
import serverkit

USERS = Path(__file__).parent / "web" / "users.py"


class Shown:
    """A run with a web UI.

    Attributes:
        url: of the web UI, with its base path and without a trailing slash.
        folder: where its files are written.
    """

    def __init__(
        self, target: str, folder: Path, *more: str, base: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        port = serverkit.free_port()
        self.url = f"http://127.0.0.1:{port}{base}"
        self.folder = folder
        self.report = folder / "report.json"
        args = ["-f", str(USERS), "--host", target, "-u", "10", "-r", "10", "--web-host", "127.0.0.1",
                "--web-port", str(port), "--sio-grace", "0.3", "--sio-report", str(self.report),
                "--sio-html", str(folder / "report.html"), *more]  # fmt: skip
        if base:
            args += ["--web-base-path", base]
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), _NoRedirect()
        )
        self.process = serverkit.Process(serverkit.locust(args), cwd=folder, env=env)
        try:
            self._until_it_answers()
        except BaseException:
            self.process.close()
            raise

    def _until_it_answers(self) -> None:
        self.process.wait_for("Starting web interface", 30)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.ask("/")
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no web UI: {self.process}")

    def ask(self, path: str, form: Mapping[str, Any] | None = None) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an answer; redirects aren't followed."""
        body = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(f"{self.url}{path}", body, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def get(self, path: str) -> str:
        """The text of an answer that must be fine."""
        status, _, body = self.ask(path)
        assert status == 200, f"{path}: {status} {body[:500]!r}"
        return body.decode()

    def json(self, path: str) -> Any:
        """The JSON of an answer that must be fine."""
        return json.loads(self.get(path))

    def tab(self) -> list[dict[str, Any]]:
        """The rows of the tab as Locust's page gets them."""
        tables = {table["key"]: table["data"] for table in self.json("/stats/requests")["extended_stats"]}
        return list(tables["socketio"])

    def tab_counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Counts and failures of the tab's rows that are rows of the report too."""
        return {(row["kind"], row["what"]): (row["count"], row["failures"]) for row in self.tab()
                if row["kind"].isupper() and row["count"] != ""}  # fmt: skip

    def counting(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The same, once `echo` was called."""
        deadline = time.monotonic() + 20
        while True:
            found = self.tab_counts()
            if ("CALL", "echo") in found:
                return found
            assert time.monotonic() < deadline, f"nothing is called: {self.process}"
            time.sleep(0.2)

    def until_ended(self, holds: Callable[[float], bool]) -> None:
        """Wait until the history's end, in seconds since the test's start, is as wanted."""
        deadline = time.monotonic() + 10
        while not holds(end := (self.json("/sioload/data")["columns"]["end"] or [0.0])[-1]):
            assert time.monotonic() < deadline, f"the history ends at {end} s"
            time.sleep(0.2)

    def until(self, state: str, timeout: float = 30.0) -> None:
        """Wait until Locust's page is told this state."""
        deadline = time.monotonic() + timeout
        while self.json("/stats/requests")["state"] != state:
            assert time.monotonic() < deadline, f"never {state}: {self.process}"
            time.sleep(0.2)

    def end(self) -> dict[str, Any]:
        """Let the process end, and return the report it wrote."""
        self.process.popen.terminate()
        self.process.wait(40)
        report: dict[str, Any] = json.loads(self.report.read_text())
        return report


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def terminal(command: list[str], seconds: float, columns: int = 80, **variables: str) -> str:
    """All that a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    env = {**os.environ, "PYTHONPATH": str(serverkit.ROOT), "COLUMNS": str(columns), **variables}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    written, deadline = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
        process.wait(5)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    return written.decode()


@pytest.fixture
def shown(target: serverkit.Server, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """`shown("--autostart", base="/load")`: a run with a web UI on the embedded target."""
    runs: list[Shown] = []

    def start(*more: str, **kwargs: Any) -> Shown:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        runs.append(Shown(target.url, folder, *more, **kwargs))
        return runs[-1]

    yield start
    for run in runs:
        run.process.close()
