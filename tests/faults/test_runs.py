"""Whole runs of Locust whose server, master, network or disk fails, or that are told to end twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serverkit
from faults.proxy import Proxy

CROWD = Path(__file__).with_name("crowd.py")


class Run:
    """A run's processes and its report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[serverkit.Process] = []

    def start(self, url: str, *more: str | Path, env: dict[str, str] | None = None) -> serverkit.Process:
        args = ["-f", CROWD, "--host", url, "-u", "10", "-r", "50", "--headless", "--only-summary",
                "--sio-report", self.folder / "report.json", *more]  # fmt: skip
        return self._start(args, env)

    def worker(self, port: int, env: dict[str, str] | None = None) -> serverkit.Process:
        args = ["-f", CROWD, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        return self._start(args, env)

    def _start(self, args: list[str | Path], env: dict[str, str] | None) -> serverkit.Process:
        process = serverkit.Process(serverkit.locust(args), cwd=self.folder, env=env)
        self.processes.append(process)
        return process

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.processes))

    def count(self, kind: str) -> int:
        """Samples of all rows of a type."""
        return sum(event["count"] for event in self.report["events"] if event["type"] == kind)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    for process in made.processes:
        process.close()


def test_a_server_killed_in_the_middle_of_a_run(run: Run) -> None:
    with serverkit.running("target") as first:
        locust = run.start(first.url, "-t", "6s")
        locust.wait_for("All users spawned", 20)
        time.sleep(1.0)
        first.process.signal(signal.SIGKILL)
        time.sleep(1.0)
        second = serverkit.start("target", "--port", str(first.port))
    try:
        code = locust.wait(40)
        counts = second.counts()
    finally:
        second.process.close()
    report = run.report
    assert code == report["exit_code"] == 1, run.text
    assert report["ledger"]["open"] == 0 and report["untrusted"] == [], run.text
    assert report["connections"]["opened"] == 20
    closed = report["connections"]["closed"]
    assert closed.keys() <= {"transport closed", "transport error", "client"}
    assert closed["client"] == 10 and sum(closed.values()) == 20
    for kind in ("DISCONNECT", "RECONNECT"):
        assert run.count(kind) - (10 if kind == "DISCONNECT" else 0) == 10
    # What the second server saw was acked, whatever the first one took with it.
    assert serverkit.total(counts["received"], "echo") == serverkit.total(counts["acks"], "echo")
    assert report["ledger"]["acked"] >= serverkit.total(counts["acks"], "echo") > 0
    assert report["ledger"]["timeout"] == 0


def test_a_master_that_is_gone_ends_its_workers(run: Run, target: serverkit.Server) -> None:
    port = serverkit.free_port()
    patience = {"MASTER_PATIENCE": "3"}
    bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
    master = run.start(target.url, "--master", "--expect-workers", "1", "-t", "60s", *bind)
    worker = run.worker(port, patience)
    master.wait_for("All users spawned", 20)
    time.sleep(1.0)
    master.signal(signal.SIGKILL)
    assert worker.wait(30) is not None
    assert "Traceback" not in worker.err, run.text
    deadline = time.monotonic() + 10
    while target.counts()["sessions"] and time.monotonic() < deadline:
        time.sleep(0.05)
    counts = target.counts()
    assert counts["sessions"] == 0
    assert serverkit.total(counts["received"], "echo") == serverkit.total(counts["acks"], "echo") > 0


def test_a_worker_cut_off_and_back_is_merged_whole(run: Run, target: serverkit.Server) -> None:
    port = serverkit.free_port()
    bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
    master = run.start(target.url, "--master", "--expect-workers", "2", "-t", "14s", *bind)
    with Proxy(port) as proxy:
        run.worker(proxy.port)
        run.worker(port)
        master.wait_for("All users spawned", 20)
        time.sleep(1.0)
        proxy.stall()
        master.wait_for("was lost", 20)
        proxy.resume()
        master.wait_for("is back", 20)
        code = master.wait(60)
    report = run.report
    counts = target.counts()
    assert report["ledger"]["open"] == 0, run.text
    assert report["ledger"]["emits"] == serverkit.total(counts["received"], "echo"), run.text
    assert report["ledger"]["acked"] == serverkit.total(counts["acks"], "echo"), run.text
    assert report["workers"] == {"expected": 2, "lost": 0}, run.text
    assert code == report["exit_code"] == 0, run.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_twice(run: Run, target: serverkit.Server, number: signal.Signals) -> None:
    locust = run.start(target.url, env={"SLOW_STOP": "60"})
    locust.wait_for("All users spawned", 20)
    time.sleep(0.5)
    locust.signal(number)
    time.sleep(0.5)
    locust.signal(number)
    code = locust.wait(20)
    report = run.report
    assert code == report["exit_code"] == 0, run.text
    assert report["ledger"]["open"] == 0 and report["untrusted"] == []
    assert report["ledger"]["acked"] == serverkit.total(target.counts()["acks"], "echo")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid():
        serverkit.missing("a small file system", "run as root, with mount")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_file_system(run: Run, target: serverkit.Server, small_disk: Path) -> None:
    """The run goes on to its end and says what it couldn't write; what is written elsewhere is whole."""
    files = ["--csv", small_disk / "run", "--html", small_disk / "run.html",
             "--sio-html", small_disk / "own.html", "--sio-junit", small_disk / "junit.xml",
             "--sio-hlog", small_disk / "hlog"]  # fmt: skip
    (small_disk / "run_stats.csv").symlink_to("/dev/full")  # what is small fits into its first page for ever
    locust = run.start(target.url, "-t", "4s", *files)
    locust.wait_for("All users spawned", 20)
    with pytest.raises(OSError), (small_disk / "filler").open("wb") as filler:
        filler.write(b"x" * (128 << 10))
    code = locust.wait(40)
    report = run.report
    assert code == 4, run.text
    assert report["exit_code"] == 4
    assert report["ledger"]["open"] == 0
    assert report["ledger"]["acked"] == serverkit.total(target.counts()["acks"], "echo") > 0
    told = " ".join(report["untrusted"])
    assert f"can't write {small_disk / 'run_*.csv'}" in told + locust.err
    for name in ("junit.xml", "hlog", "own.html", "run.html"):
        assert f"can't write {small_disk / name}" in told, run.text
    assert "No space left" in told
    assert "Traceback" not in locust.err
