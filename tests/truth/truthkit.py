"""Runs against the server of known behaviour, and programs in C beside them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import serverkit

from sioload.measure.histogram import Histogram
from sioload.report.events import latency_ms

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, in a folder of its own."""

    folder: Path
    code: int
    text: str

    @cached_property
    def report(self) -> dict[str, Any]:
        """The JSON report."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    @cached_property
    def told(self) -> list[dict[str, Any]]:
        """What each process of the run told through `hooks`."""
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob("told.*"))]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with the figures but that the machine may have been too slow."""
        return set(self.report["untrusted"]) <= {"the load generator itself was the limit"}

    def event(self, kind: str, name: str) -> dict[str, Any]:
        """One row of the report."""
        found = [e for e in self.report["events"] if (e["type"], e["name"]) == (kind, name)]
        assert found, self.text
        event: dict[str, Any] = found[0]
        return event

    def samples(self, kind: str, name: str) -> list[float]:
        """All samples of a row over all processes, in seconds, as they were recorded."""
        return [seconds for told in self.told for seconds in told["samples"].get(f"{kind} {name}", [])]

    def shows_all_samples(self, kind: str, name: str) -> bool:
        """Whether the report's figures of a row are those of one histogram of all its samples."""
        samples, times = self.samples(kind, name), Histogram()
        for seconds in samples:
            times.add(seconds)
        event = self.event(kind, name)
        return bool(event["count"] == len(samples) and event["latency_ms"] == latency_ms(times))


class Bench:
    """Starts what a test needs, and ends it all.

    Attributes:
        newest: the run that was started last.
    """

    newest: serverkit.Process

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._runs = 0
        self._workers: list[serverkit.Process] = []

    def server(self, *options: str | Path) -> serverkit.Server:
        """The server of known behaviour."""
        process = self.process([sys.executable, HERE / "server.py", *options])
        port = int(process.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1))
        return serverkit.Server("truth", port, process)

    def process(self, argv: list[str | Path], env: dict[str, str] | None = None) -> serverkit.Process:
        """Any program."""
        process: serverkit.Process = self._stack.enter_context(serverkit.Process(argv, env=env))
        return process

    def start(
        self, file: str, url: str, *args: str | Path, workers: int = 0, env: dict[str, str] | None = None
    ) -> Callable[[float], Outcome]:
        """Start a run of a locustfile; what is returned waits so many seconds for its end."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        files = ["--sio-report", folder / "report.json"]
        more = ["--processes", str(workers)] if workers else []
        argv = ["-f", HERE / file, "--host", url, "--headless", "--only-summary", *files, *more, *args]
        process = self.process(serverkit.locust(argv), {"TRUTH": str(folder / "told"), **(env or {})})
        self.newest = process

        def finish(timeout: float) -> Outcome:
            code = process.wait(timeout)
            self._wait_for_the_rest(process, timeout)
            return Outcome(folder, code, process.out + process.err)

        return finish

    def _wait_for_the_rest(self, process: serverkit.Process, timeout: float) -> None:
        """Workers end after their master, and write their files last of all."""
        until = time.monotonic() + timeout
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(process.pid, 0)
                time.sleep(0.02)
        for worker in self._workers:
            worker.wait(timeout)
        self._workers.clear()

    def worker(self, file: str, port: list[str], env: dict[str, str]) -> serverkit.Process:
        """A worker as a process of its own, for the run that was started last."""
        argv = ["-f", HERE / file, "--worker", "--master-host", "127.0.0.1", *port[-2:]]
        told = str(self.folder / f"run{self._runs}" / "told")
        self._workers.append(self.process(serverkit.locust(argv), {"TRUTH": told, **env}))
        return self._workers[-1]

    def compiled(self, source: str, *options: str) -> Path:
        """A C program of this folder, as `cc` makes it."""
        compiler = serverkit.need_compiler()
        made = self.folder / Path(source).stem
        subprocess.run([compiler, "-std=c11", "-O2", *options, "-o", made, HERE / source], check=True)
        return made


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]
