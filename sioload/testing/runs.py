"""`sioload.run`: a load test from Python, in a process of its own, and its report to ask.

Locust patches the process that imports it, and a run needs an event loop to itself: neither is loaded here.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sioload.cli import runner
from sioload.errors import SioloadError, UsageError
from sioload.load.phases import USUAL
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report.reading import check_result, totals_of
from sioload.report.summary import summary_text
from sioload.report.words import counted
from sioload.system import end_with_parent

#: What a run's process may print last that explains why it left no report.
_TAIL = 20
#: A line of Locust's log that tells of nothing wrong.
_LOGGED = re.compile(r"\[[^\]]+\] \S+/(?:DEBUG|INFO)/")
#: Options of Locust that tell something and end.
_TELLS = frozenset(
    ("-h", "--help", "-V", "--version", "-l", "--list", "--show-task-ratio", "--show-task-ratio-json")
)


def run(
    locustfile: str | os.PathLike[str],
    *,
    users: int | None = None,
    run_time: float | str | None = None,
    host: str | None = None,
    spawn_rate: float | None = None,
    phases: str | None = None,
    checks: Iterable[str] = (),
    processes: int | None = None,
    args: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
) -> Report:
    """Run a locustfile to its end, in a process of its own, and give its report.

    What the run prints goes where this process prints.

    Args:
        locustfile: its path.
        users: simulated users; 1 without, and without phases, here or in the locustfile.
        run_time: whole seconds, or a text such as `1m30s`; 10 s without, and without such phases.
        host: the server, in place of the locustfile's own.
        spawn_rate: users started per second; all at once without.
        phases: load over time, as `--sio-phases` takes it, in place of `users` and `run_time`.
        checks: conditions that the run itself judges, as `--sio-check` takes them: for those with `after` or
            `abort after`.
        processes: worker processes; without, one process does it all.
        args: further arguments of Locust's command line.
        env: variables on top of this process's.

    Raises:
        UsageError: an argument can't be used; nothing was sent.
        SioloadError: the run left no report.
    """
    script = os.fspath(locustfile)
    for name, texts in (("checks", checks), ("args", args)):
        if isinstance(texts, str):
            raise UsageError(f"{name} is a list of texts, not one: {name}=[{texts!r}]")
        if not isinstance(texts, Iterable):
            raise UsageError(f"{name} must be a list of texts, not {texts!r}")
    args, env = list(args), {} if env is None else env
    _check(script, args, env)
    given = _load(users, run_time, spawn_rate, phases)
    for name, value in (("--host", host), ("--processes", _number("processes", processes, -1))):
        given += [] if value is None else [name, str(value)]
    for check in checks:
        given += ["--sio-check", check]
    if processes is not None:
        given += _swarm_port()
    usual = {"num_users": 1} if users is None else {}
    usual |= {"run_time": 10} if run_time is None else {}
    with tempfile.TemporaryDirectory(prefix="sioload-") as folder:
        path = Path(folder, "report.json")
        files = ["--locustfile", script, "--sio-report", str(path)]
        argv = runner.guarded(["--headless", "--only-summary", *files, *given, *args])
        code, said = _wait(argv, {**os.environ, USUAL: json.dumps(usual), **env})
        if path.exists():
            return Report(json.loads(path.read_text(encoding="utf-8")))
    lines = said.splitlines()
    if code == 2:
        # What the run logged on its way is no part of what it refuses.
        raise UsageError("\n".join([line for line in lines if not _LOGGED.match(line)][-_TAIL:]))
    last = "\n".join(lines[-_TAIL:])
    raise SioloadError(f"the run ended with exit code {code} and without a report:\n{last}")


def _check(script: str, args: Iterable[str], env: Mapping[str, str]) -> None:
    """Refuse what no run can be made of.

    Raises:
        UsageError: names it, and the remedy.
    """
    if re.fullmatch(r"[^,]*\.py", script) and "://" not in script and not os.path.exists(script):
        raise UsageError(f"there is no locustfile {script}")
    if any(str(arg).partition("=")[0] == "--sio-report" for arg in args):
        raise UsageError("run() gives the report: leave --sio-report out, and write its `data` to a file")
    if "--worker" in args:
        raise UsageError("run() gives the report, which a worker has none of: leave --worker out")
    for arg in args:
        if arg in _TELLS:
            raise UsageError(f"args: {arg} makes no load: give it to locust itself, in a terminal")
    if not isinstance(env, Mapping):
        raise UsageError(f"env must be a dict of texts, not {env!r}")
    for name, value in env.items():
        if not isinstance(value, str):
            raise UsageError(f"env: {name}={value!r} is no text: give {str(value)!r}")


def _number(name: str, number: object, least: int) -> int | None:
    """An argument that is a whole number, or isn't given.

    Raises:
        UsageError: it is another, or too few.
    """
    if not isinstance(number, int | None) or isinstance(number, bool):
        raise UsageError(f"{name}={number!r} is no whole number")
    if number is not None and number < least:
        raise UsageError(f"{name}={number} is too few: give {least} or more")
    return number


def _load(
    users: int | None, run_time: float | str | None, spawn_rate: float | None, phases: str | None
) -> list[str]:
    """How many users there are, and for how long, as Locust's arguments; see `run`.

    Raises:
        UsageError: one can't be used, or says otherwise than another.
    """
    users = _number("users", users, 1)
    if not isinstance(phases, str | None):
        raise UsageError(f"phases must be one text, such as '9 users for 9s; 2 users for 1m', not {phases!r}")
    if phases is not None and (users is not None or run_time is not None):
        raise UsageError(
            "phases say how many users there are and for how long: leave users= and run_time= out"
        )
    # 0 is as good as nothing, whatever a project's locust.conf says.
    given = ["--users", str(users or 0), "--run-time", "0" if run_time is None else _run_time(run_time)]
    if spawn_rate is not None or users is not None:
        given += ["--spawn-rate", str(users if spawn_rate is None else spawn_rate)]
    return given if phases is None else [*given, "--sio-phases", phases]


def _run_time(given: float | str) -> str:
    """Whole seconds: Locust knows no others, and takes none for a run without an end."""
    number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    text = given if isinstance(given, str) else f"{math.ceil(given)}s" if number else ""
    if not re.match("[0-9]", text) or not re.search("[1-9]", text):
        raise UsageError(f"run_time={given!r} is no time: give seconds, or a text such as '1m30s'")
    return text


def _swarm_port() -> list[str]:
    """A free port for master and workers: other runs on this machine have theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]


def _wait(argv: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run a command to its end; its exit code, and what it wrote to standard error, which is shown too."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        # In a process group of its own: Ctrl+C reaches it through us, once.
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stderr=errors, env=env, process_group=0,
            preexec_fn=end_with_parent,
        )  # fmt: skip
        try:
            code = process.wait()
        except BaseException:  # this process is to end, or the test: the run ends first, in order
            _end(process)
            raise
        finally:
            errors.seek(0)
            said = errors.read()
            sys.stderr.write(said)
    return code, said


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run as Ctrl+C does: once in order, twice without waiting for anything, and then by force."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        try:
            process.send_signal(number)
            process.wait()
            return
        except KeyboardInterrupt:  # once more: never without the run, which nobody would see any more
            continue
    process.wait()


class Report:
    """The report of a run.

    `report["CALL message"]` is a row by its type and name, and `report.check("CALL: p99 < 250ms")` raises
    unless that holds. `str(report)` is the summary that a run prints.

    Attributes:
        data: the report as `--sio-report` writes it.
    """

    def __init__(self, data: Mapping[str, Json]) -> None:
        self.data = data
        self._rows = {f"{event['type']} {event['name']}": Row(event) for event in data["events"]}

    @property
    def exit_code(self) -> int:
        """The run's: 0 when all was well."""
        return int(self.data["exit_code"])

    @property
    def exit_reason(self) -> str:
        """Why the exit code isn't 0."""
        return str(self.data["exit_reason"])

    def __getitem__(self, row: str) -> Row:
        """A row by its type and name.

        Raises:
            KeyError: there is none; names the nearest.
        """
        try:
            return self._rows[row]
        except KeyError:
            near = difflib.get_close_matches(row, self._rows, n=1, cutoff=0.0)
            raise KeyError(
                f"no row {row!r}; the nearest is {near[0]!r}" if near else f"no row {row!r}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    def check(self, text: str) -> str:
        """Judge the run by a check; returns what was measured.

        Raises:
            AssertionError: it doesn't hold; with the check, and what was measured.
            CheckError: it can't be parsed, or needs to be given to the run (`after`).
        """
        __tracebackhide__ = True
        result = check_result(self.data, text)
        if not result.failed:
            return result.value
        lines = [f"{text}: {result.reason}"]
        lines += [f"(the figures can't be trusted: {reason})" for reason in self.data["untrusted"]]
        raise AssertionError("\n".join(lines))

    def __str__(self) -> str:
        return summary_text(self.data)

    def __repr__(self) -> str:
        seconds, users = self.data["duration_s"], self.data["users"]["peak"]
        ran = f"{counted(users, 'user')}, {seconds:.1f} s"
        return f"<Report: {self.data['host']}, {ran}, exit code {self.exit_code}>"


class Row:
    """One row of a report. Times are in seconds, and None where the row carries none.

    Attributes:
        type, name: as shown.
        count: samples, failures among them.
        failures: how many failed.
        rate: samples per second.
        errors: message to number of failures.
        min, mean, p50, p90, p95, p99, max: over all samples with a time.
    """

    def __init__(self, event: Mapping[str, Json]) -> None:
        self._event = event
        self._totals: Totals | None = None
        self.type: str = event["type"]
        self.name: str = event["name"]
        self.count: int = event["count"]
        self.failures: int = event["failures"]
        self.rate: float = event["rate"]
        self.errors: dict[str, int] = dict(event["errors"])
        shown = event["latency_ms"] or {}
        times = {key: value / 1000 for key, value in shown.items()}
        self.min: float | None = times.get("min")
        self.mean: float | None = times.get("mean")
        self.p50: float | None = times.get("p50")
        self.p90: float | None = times.get("p90")
        self.p95: float | None = times.get("p95")
        self.p99: float | None = times.get("p99")
        self.max: float | None = times.get("max")

    @property
    def fail_ratio(self) -> float:
        """Failures over samples, from 0 to 1."""
        return self.failures / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float | None:
        """Any percentile, such as 99.9.

        Raises:
            UsageError: there is no such one.
        """
        if not 0 <= percent <= 100:
            raise UsageError(f"there is no percentile {percent}: give 0 to 100")
        if self._totals is None:
            self._totals = totals_of(self._event)
        return self._totals.times.percentile(percent) if self._totals.times.total else None

    def __repr__(self) -> str:
        return f"<Row {self.type} {self.name}: {counted(self.count, 'sample')}, {self.failures} failed>"
