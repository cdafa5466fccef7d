"""Starts the benchmark's servers and generators, each on its own core, and returns what they measured."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trustme
from meter import Job
from rows import Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULES = ROOT / "tests" / "servers" / "node_modules"
ARTILLERY = HERE / "node_modules" / "artillery"
TIMEOUT = 180.0
#: Ends the names of C programs that speak TLS.
TLS = "-tls"
#: What is emitted, and a KiB of it where that is compressed.
SMALL: dict[str, Any] = {"text": "hello"}
LARGE = {
    "items": [{"id": 4217 * i, "name": f"item {i}", "price": 0.95 + i, "tags": ["new"]} for i in range(18)]
}
TICK = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A program could not be measured; the text says why."""


@dataclass(slots=True)
class Measured:
    """One program's figures of one round.

    Attributes:
        value: CPU microseconds per operation, or KiB per user.
        rate: operations per second in the measured window.
        server_cpu: share of its core that the server used over the whole run.
        run: number of the run that the round is of.
        note: how the run's counts compare with the server's.
    """

    value: float
    rate: float | None = None
    server_cpu: float | None = None
    note: str = ""
    run: int = 0


@dataclass(slots=True)
class Tools:
    """What this machine has; a missing tool is named in `missing`, and its cells stay empty."""

    directory: Path
    cores: tuple[int, int] | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        """The certificate of the authority that servers with TLS have theirs from."""
        return self.directory / "ca.pem"

    @property
    def pem(self) -> Path:
        """Their key and certificate."""
        return self.directory / "server.pem"

    @classmethod
    def find(cls, directory: Path) -> Tools:
        tools = cls(directory)
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) > 1:
            tools.cores = (usable[0], usable[1])
            os.sched_setaffinity(
                0, {usable[0]}
            )  # this program and the servers; generators get the other core
        else:
            tools.missing["second core"] = "server and generator share one core, figures are too high"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tools.ca))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tools.pem))
        compiler = shutil.which("cc")
        for name in ("responder", "floor"):
            if compiler is None:
                tools.missing[name] = tools.missing[name + TLS] = "no C compiler (cc)"
                continue
            command = [compiler, "-O2", HERE / f"{name}.c", "-o"]
            subprocess.run([*command, directory / name], check=True)
            openssl = [directory / (name + TLS), "-DTLS", "-lssl", "-lcrypto"]
            if subprocess.run([*command, *openssl], capture_output=True).returncode:
                tools.missing[name + TLS] = "needs OpenSSL's headers: apt install libssl-dev"
        if shutil.which("node") is None or not (MODULES / "sio4").is_dir():
            tools.missing["node"] = tools.missing["npm"] = "needs Node and: npm ci --prefix tests/servers"
        if not ARTILLERY.is_dir():
            tools.missing["artillery"] = "not installed: make bench-peers"
        return tools

    def generator_core(self) -> set[int]:
        return {self.cores[1]} if self.cores else os.sched_getaffinity(0)


@dataclass(slots=True)
class Server:
    """A running server; `counts()` asks it what it received and sent."""

    url: str
    context: ssl.SSLContext | None = None

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + "/counts", timeout=30, context=self.context) as answer:
            counts: dict[str, Any] = json.load(answer)
        return counts


@contextlib.contextmanager
def running_server(tools: Tools, row: Row, users: int) -> Iterator[Server]:
    """Starts the row's server for one measurement and ends it afterwards."""
    options: dict[str, Any] = {"pem": str(tools.pem)} if row.tls else {}
    options |= {"deflate": True} if row.deflate else {}
    command = ["node", str(HERE / "npm_server.js"), str(MODULES), json.dumps(options)]
    if row.server == "responder":
        command = [str(tools.directory / tool("responder", row))]
        if row.tls:
            command += ["tls", str(tools.pem)]
        if row.mode == "push":
            command += [str(row.rate), str(users)]
        elif row.spins:
            command.append("spin")
    with serving(command, tools.ca if row.tls else None) as server:
        yield server


def tool(name: str, row: Row) -> str:
    """A C program as the row needs it."""
    return name + TLS if row.tls and name in ("floor", "responder") else name


@contextlib.contextmanager
def serving(command: list[str], ca: Path | None = None) -> Iterator[Server]:
    """Runs a server that prints its port, as long as the block lasts; with TLS if an authority is given."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise BenchError(f"{Path(command[0]).name} server did not start")
        if ca is None:
            yield Server(f"http://127.0.0.1:{port}")
        else:
            yield Server(f"https://127.0.0.1:{port}", ssl.create_default_context(cafile=ca))
    finally:
        process.kill()
        process.communicate()


def measure(tools: Tools, row: Row, program: str, seconds: float) -> Measured:
    """Runs one program once.

    Raises:
        BenchError: it is missing, or it failed.
    """
    for needed in (tool(program, row), tool(row.server, row)):
        if needed in tools.missing:
            raise BenchError(tools.missing[needed])
    users = 300 if program == "300 users" else row.users
    with running_server(tools, row, users) as server:
        began = time.monotonic()
        if program == "artillery":
            result = artillery(tools, server, users, seconds)
        else:
            result = generator(tools, row, program, server, users, seconds)
        counts = server.counts()
        elapsed = time.monotonic() - began
    if "kib" in result:
        return Measured(result["kib"])
    if not result["ops"]:
        raise BenchError("no operation in the measured window")
    done = counts["pushes" if row.mode == "push" else "connects" if row.mode == "connect" else "acks"]
    note = f"generator {result['total']:,}, server {done:,}"
    if "ledger" in result:
        note = reconcile(result["ledger"], counts)
    return Measured(
        result["cpu"] / result["ops"] * 1e6, result["ops"] / result["seconds"], counts["cpu"] / elapsed, note
    )


def generator(
    tools: Tools, row: Row, program: str, server: Server, users: int, seconds: float
) -> dict[str, Any]:
    """Runs a generator that measures itself, and returns the result it wrote."""
    out = tools.directory / "result.json"
    report = tools.directory / "report.json"
    out.unlink(missing_ok=True)
    report.unlink(missing_ok=True)
    rate = row.rate if row.mode == "ack" else 0.0
    client = "sioload" if program in ("300 users", "sent_at") else program
    if row.key in ("room", "handler") and program == "sioload":
        client = row.key
    ca = str(tools.ca) if row.tls else ""
    job = Job(
        client,
        row.mode,
        server.url,
        users,
        list(row.transports),
        seconds,
        rate,
        str(out),
        str(MODULES),
        LARGE if row.deflate else SMALL,
        row.deflate,
        ca,
    )
    python_path = os.pathsep.join(filter(None, [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"SIOLOAD_BENCH": json.dumps(asdict(job)), "PYTHONPATH": python_path}
    with started(tools, command_line(tools, row, job, report), environment) as process:
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise BenchError(f"not done after {TIMEOUT:.0f} s") from None
    log = (tools.directory / "log.txt").read_text(errors="replace")
    if program == "floor" and process.returncode == 0:
        out.write_text(log)
    if not out.is_file():
        raise BenchError(f"exit code {process.returncode}: {last_line(log)}")
    result: dict[str, Any] = json.loads(out.read_text())
    if report.is_file():
        result["ledger"] = json.loads(report.read_text())
    return result


def command_line(tools: Tools, row: Row, job: Job, report: Path) -> list[str]:
    if job.client == "floor":
        port = job.url.rpartition(":")[2]
        floor = tools.directory / tool("floor", row)
        return [str(floor), port, str(job.users), str(job.seconds), row.mode, *([job.ca] if job.ca else [])]
    if job.client == "node":
        return ["node", "--expose-gc", str(HERE / "npm_client.js")]
    if row.alone:
        return [sys.executable, str(HERE / "alone.py")]
    users = 100 if row.mode == "idle" else job.users  # the rest are added once these are measured
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "bench_users.py"), "--headless"]
    command += ["--only-summary", "-u", str(users), "-r", "1000"]
    if job.client == "sioload" and row.key == "locust":
        command += ["--sio-report", str(report)]
    return command


@contextlib.contextmanager
def started(
    tools: Tools, command: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process group on the generators' core, with its output in log.txt; it is ended with the block."""
    core = tools.generator_core()
    with (tools.directory / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=tools.directory,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def newer_node() -> str:
    """The Node that Artillery wants, which `make bench-peers` installs; else the system's."""
    found = (HERE / "node_modules").glob("node-linux-*/bin/node")
    return str(next(found, "node"))


def artillery(tools: Tools, server: Server, users: int, seconds: float) -> dict[str, Any]:
    """Runs Artillery, measured from outside: CPU of its processes, and the server's count of acks."""
    emit = {"emit": ["echo", {"text": "hello", "n": "{{ $loopCount }}"}], "acknowledge": {}}
    script = tools.directory / "artillery.json"
    script.write_text(
        json.dumps(
            {
                "config": {
                    "target": server.url,
                    "socketio": {"transports": ["websocket"]},
                    "phases": [{"duration": 1, "arrivalCount": users}],
                },
                "scenarios": [{"engine": "socketio", "flow": [{"loop": [emit], "count": 100_000_000}]}],
            }
        )
    )
    environment = os.environ | {"ARTILLERY_DISABLE_TELEMETRY": "true"}
    with started(
        tools, [newer_node(), str(ARTILLERY / "bin" / "run"), "run", str(script)], environment
    ) as process:
        until = time.monotonic() + 60
        while server.counts()["open"] < users:
            if time.monotonic() > until or process.poll() is not None:
                raise BenchError(last_line((tools.directory / "log.txt").read_text()))
            time.sleep(0.2)
        time.sleep(1)
        before, cpu, began = server.counts()["acks"], tree_cpu(process.pid), time.monotonic()
        time.sleep(seconds)
        done, cpu, elapsed = server.counts()["acks"], tree_cpu(process.pid) - cpu, time.monotonic() - began
    return {"ops": done - before, "cpu": cpu, "seconds": elapsed, "total": done}


def tree_cpu(pid: int) -> float:
    """User and system CPU seconds of a process and its living descendants."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return (int(fields[11]) + int(fields[12])) / TICK + sum(
        tree_cpu(int(child)) for child in children.split()
    )


def reconcile(report: dict[str, Any], counts: dict[str, Any]) -> str:
    """Compares sioload's own report of the run with what the server counted."""
    ledger = report["ledger"]
    calls = sum(
        event["count"] for event in report["events"] if (event["type"], event["name"]) == ("CALL", "echo")
    )
    found = {"emits": ledger["emits"], "acked": ledger["acked"], "CALL rows": calls}
    wrong = [f"{name} {n:,}" for name, n in found.items() if n != counts["acks"]]
    if wrong:
        return f"NOT reconciled: server {counts['acks']:,}, report {', '.join(wrong)}"
    return f"reconciled: {counts['acks']:,} emits, acks and CALL rows on both sides"


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"
