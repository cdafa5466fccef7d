"""Real runs of Locust against the embedded target, and what they leave behind."""

from __future__ import annotations

import csv
import json
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import serverkit

from sioload.measure.blocks import blocks_of

USERS = Path(__file__).parent / "lone_users.py"
Counts = dict[tuple[str, str], tuple[int, int]]


def web_counts(rows: Sequence[Mapping[str, Any]]) -> Counts:
    """Counts and failures per row, as Locust's web UI and HTML report give them."""
    return {
        (row["method"], row["name"]): (row["num_requests"], row["num_failures"])
        for row in rows
        if row["name"] != "Aggregated"
    }


@dataclass
class Swarm:
    """A run: its processes, and the files that it writes."""

    folder: Path
    target: serverkit.Server
    processes: list[serverkit.Process] = field(default_factory=list)

    def args(self, *more: str | Path, users: int = 20) -> list[str | Path]:
        """Locust's arguments for a run without web UI that writes every file."""
        files = ["--sio-report", self.folder / "report.json", "--csv", self.folder / "run",
                 "--html", self.folder / "run.html"]  # fmt: skip
        load = ["-u", str(users), "-r", str(users), "--headless", "--only-summary"]
        return ["-f", USERS, "--host", self.target.url, *load, *files, *more]

    def start(self, args: list[str | Path], env: Mapping[str, str] | None = None) -> serverkit.Process:
        process = serverkit.Process(serverkit.locust(args), cwd=self.folder, env=env)
        self.processes.append(process)
        return process

    def run(self, args: list[str | Path], env: Mapping[str, str] | None = None, timeout: float = 60.0) -> int:
        """Run Locust to its end; returns its exit code."""
        return self.start(args, env).wait(timeout)

    def interrupt(self, process: serverkit.Process, number: signal.Signals, after: float = 3.0) -> int:
        """Let all users run for a while, then send a signal to the process alone; returns its exit code."""
        process.wait_for(serverkit.SPAWNED, 20)
        time.sleep(after)
        process.signal(number)
        return process.wait(40)

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    def counts(self, report: Mapping[str, Any] | None = None) -> Counts:
        """Counts and failures per row, as the report has them."""
        events = (report or self.report)["events"]
        return {(e["type"], e["name"]): (e["count"], e["failures"]) for e in events}

    def csv_counts(self) -> Counts:
        """Counts and failures per row, as Locust's CSV file has them."""
        with open(self.folder / "run_stats.csv", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["Name"] != "Aggregated"]
        return {(r["Type"], r["Name"]): (int(r["Request Count"]), int(r["Failure Count"])) for r in rows}

    def html_counts(self) -> Counts:
        """Counts and failures per row, as Locust's HTML report has them."""
        page = (self.folder / "run.html").read_text()
        start = page.index("[", page.index('"requests_statistics"'))
        return web_counts(json.JSONDecoder().raw_decode(page, start)[0])

    def printed_counts(self) -> Counts:
        """Counts and failures per row, as the printed summary has them."""
        row = re.compile(r"^([A-Z]+) +(\S.*?) +(\d+) +(\d+) +[\d.]+ +(?:[\d.]+|-) +", re.MULTILINE)
        return {
            (kind, name): (int(n), int(fails)) for kind, name, n, fails in row.findall(self.processes[0].out)
        }

    def assert_everything_agrees(self) -> None:
        """Report, CSV, HTML, printed summary and the server agree; the ledger balances; nothing was lost."""
        report, counts = self.report, self.counts()
        output = "\n".join(f"{process}" for process in self.processes)
        assert counts, output
        assert self.csv_counts() == self.html_counts() == self.printed_counts() == counts, output
        ledger = report["ledger"]
        assert ledger["open"] == 0 and ledger["emits"] > 0, output
        assert ledger["indeterminate"] == ledger["not_sent"] == ledger["timeout"] == 0, output
        server = self.target.counts()
        for side, outcome in (("received", "emits"), ("acks", "acked")):
            assert ledger[outcome] == sum(sum(events.values()) for events in server[side].values()), output
        for event in report["events"]:
            blocks = blocks_of(event["blocks"]).values()
            counted = (sum(block.count for block in blocks), sum(block.failures for block in blocks))
            shared = event["name"] == "(other)" and counted == (0, 0)
            assert counted == (event["count"], event["failures"]) or shared, output
        assert report["untrusted"] == [] and report["workers"]["lost"] == 0, output


Scene = Callable[[Swarm], None]
SCENES: dict[str, Scene] = {}


def scene(body: Scene) -> Callable[[Callable[[str], None]], None]:
    """A test whose body mostly waits for its processes, so that several of them run at a time, in threads.

    Each has a target and a folder of its own. What a body raises, its test raises.
    """
    SCENES[body.__name__] = body

    def test(scenes: Callable[[str], None]) -> None:
        scenes(body.__name__)

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


def play(body: Scene, folder: Path) -> None:
    """Run the body of one test."""
    with serverkit.running("target") as target:
        swarm = Swarm(folder, target)
        try:
            body(swarm)
        finally:
            for process in swarm.processes:
                process.close()
