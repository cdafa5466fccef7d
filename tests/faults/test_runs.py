"""Whole runs of Locust whose server, master, network or disk fails, or that are told to end twice.

They mostly wait, so all of them go on at a time, each with a server of its own.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import serverkit
from faults.kit import isolates
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
        process = self._start(args, env)
        return process

    def worker(self, port: int, env: dict[str, str] | None = None) -> serverkit.Process:
        args = ["-f", CROWD, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        return self._start(args, env)

    def _start(self, args: list[str | Path], env: dict[str, str] | None) -> serverkit.Process:
        process = serverkit.Process(serverkit.locust(args), cwd=self.folder, env=env, fresh=True)
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


def killed_server(run: Run, first: serverkit.Server) -> None:
    """It dies in the middle of the run, and another one comes up in its place."""
    locust = run.start(first.url, "-t", "8s")
    locust.wait_for(serverkit.SPAWNED, 30)
    time.sleep(1.5)
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
    assert (run.count("DISCONNECT"), run.count("RECONNECT")) == (20, 10)
    # What the second server saw was acked, whatever the first one took with it.
    acks = serverkit.total(counts["acks"], "echo")
    assert serverkit.total(counts["received"], "echo") == acks > 0
    assert report["ledger"]["acked"] >= acks
    assert report["ledger"]["timeout"] == 0


def master_gone(run: Run, target: serverkit.Server) -> None:
    """Its worker ends by itself, and closes what it had opened."""
    port = serverkit.free_port()
    bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
    master = run.start(target.url, "--master", "--expect-workers", "1", "-t", "60s", *bind)
    worker = run.worker(port, {"MASTER_PATIENCE": "3"})
    master.wait_for(serverkit.SPAWNED, 30)
    time.sleep(1.0)
    master.signal(signal.SIGKILL)
    worker.wait(40)
    assert "Traceback" not in worker.err, run.text
    deadline = time.monotonic() + 10
    while target.counts()["sessions"] and time.monotonic() < deadline:
        time.sleep(0.05)
    counts = target.counts()
    assert counts["sessions"] == 0
    assert serverkit.total(counts["received"], "echo") == serverkit.total(counts["acks"], "echo") > 0


def worker_cut_off(run: Run, target: serverkit.Server) -> None:
    """The network between a worker and its master fails and comes back: nothing is lost or counted twice."""
    port = serverkit.free_port()
    bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
    master = run.start(target.url, "--master", "--expect-workers", "2", "-t", "14s", *bind)
    with Proxy(port) as proxy:
        run.worker(proxy.port)
        run.worker(port)
        master.wait_for(serverkit.SPAWNED, 30)
        time.sleep(1.0)
        proxy.stall()
        master.wait_for("was lost", 20)
        proxy.resume()
        master.wait_for("is back", 20)
        code = master.wait(60)
    report, counts = run.report, target.counts()
    assert report["ledger"]["open"] == 0, run.text
    assert report["ledger"]["emits"] == serverkit.total(counts["received"], "echo"), run.text
    assert report["ledger"]["acked"] == serverkit.total(counts["acks"], "echo"), run.text
    assert report["workers"] == {"expected": 2, "lost": 0}, run.text
    assert code == report["exit_code"] == 0, run.text


def told_twice(number: signal.Signals, workers: int, run: Run, target: serverkit.Server) -> None:
    """The second signal doesn't wait for users that stop slowly."""
    more = ["--processes", str(workers)] if workers else []
    locust = run.start(target.url, *more, env={"SLOW_STOP": "60"})
    locust.wait_for(serverkit.SPAWNED, 30)
    time.sleep(0.5)
    locust.signal(number)
    time.sleep(0.5)
    locust.signal(number)
    code = locust.wait(30)
    report = run.report
    assert code == report["exit_code"] == 0, run.text
    assert report["ledger"]["open"] == 0 and report["untrusted"] == []
    assert report["ledger"]["acked"] == serverkit.total(target.counts()["acks"], "echo")


def full_disk(run: Run, target: serverkit.Server) -> None:
    """The run goes on to its end and says what it couldn't write; what is written elsewhere is whole."""
    small = run.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        files = ["--csv", small / "run", "--html", small / "run.html", "--sio-html", small / "own.html",
                 "--sio-junit", small / "junit.xml", "--sio-hlog", small / "hlog"]  # fmt: skip
        (small / "run_stats.csv").symlink_to("/dev/full")  # what is small fits into its first page for ever
        locust = run.start(target.url, "-t", "5s", *files)
        locust.wait_for(serverkit.SPAWNED, 30)
        with pytest.raises(OSError), (small / "filler").open("wb") as filler:
            filler.write(b"x" * (128 << 10))
        code = locust.wait(40)
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
    report = run.report
    assert code == 4, run.text
    assert report["exit_code"] == 4
    assert report["ledger"]["open"] == 0
    assert report["ledger"]["acked"] == serverkit.total(target.counts()["acks"], "echo") > 0
    told = " ".join(report["untrusted"])
    assert f"can't write {small / 'run_*.csv'}" in told + locust.err
    for name in ("junit.xml", "hlog", "own.html", "run.html"):
        assert f"can't write {small / name}" in told, run.text
    assert "No space left" in told
    assert "Traceback" not in locust.err


PLAYS: dict[str, Callable[[Run, serverkit.Server], None]] = {
    "a server killed": killed_server,
    "a master gone": master_gone,
    "a worker cut off and back": worker_cut_off,
    "SIGTERM twice": partial(told_twice, signal.SIGTERM, 0),
    "SIGINT twice": partial(told_twice, signal.SIGINT, 0),
    "SIGINT twice, with workers": partial(told_twice, signal.SIGINT, 2),
    "a full file system": full_disk,
}
MOUNTS = isolates() and shutil.which("mount") is not None


def play(what: str, folder: Path) -> None:
    run = Run(folder)
    try:
        with serverkit.running("target") as target:
            PLAYS[what](run, target)
    finally:
        for process in run.processes:
            process.close()


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    names = [name for name in PLAYS if MOUNTS or name != "a full file system"]
    with ThreadPoolExecutor(len(names)) as pool:
        yield {name: pool.submit(play, name, tmp_path_factory.mktemp("run")) for name in names}


@pytest.mark.parametrize("what", PLAYS)
def test_a_run_in_trouble(playing: dict[str, Future[None]], what: str) -> None:
    if what not in playing:
        serverkit.missing("a small file system", "run as root (in a container: --privileged), with mount")
    playing[what].result(110)
