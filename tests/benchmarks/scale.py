"""What one process carries: thousands of users, broadcasts to them all, a master with 250 workers.

    python tests/benchmarks/scale.py [--parts idle,crowd,tls,broadcast,master] [--users N] [--seconds N] ...

Parts:
    idle       locustfiles/idle_crowd.py as it is, against an npm server with heartbeats of 5 s
    crowd      the same users, each with one acknowledged emit per 10 s
    tls        the users of idle over TLS, against three npm servers
    broadcast  one event to 5,000 users five times a second, beside a receiver in C
    master     250 simulated workers of 50 rows report a run of an hour to one Locust master, whose pages are
               looked at meanwhile

Servers and simulated workers run on one core, what is measured on the other. It states what it found and
exits 0 when it could measure; each part has a time limit, and ends what it started. In all over an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from generators import HERE, MODULES, ROOT, BenchError, Server, Tools, last_line, serving, started, tree_cpu
from run import busy_share, versions

SPAWN_RATE = 500
TLS_SPAWN_RATE = 200  # each of these users costs both sides a handshake
TLS_SERVERS = 3
HEARTBEAT = 5.0  # seconds
BROADCAST_RATE = 5
INTERVAL = 3.0  # seconds between two reports of a worker
SPARE = 500  # descriptors that users don't get


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scale.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} (default: all)")
    add("--users", type=int, default=18_000, help="of idle, crowd and tls (default: 18000)")
    add("--seconds", type=float, default=600, help="of idle, crowd and tls, after the ramp-up (default: 600)")
    add("--receivers", type=int, default=5_000, help="users of broadcast (default: 5000)")
    add("--broadcast-seconds", type=float, default=20, help="(default: 20)")
    add("--workers", type=int, default=250, help="simulated workers (default: 250)")
    add("--rows", type=int, default=50, help="of each worker's report (default: 50)")
    add("--reports", type=int, default=1200, help="of each worker: 1200 are an hour's (default)")
    add("--paced", type=int, default=20, help="reports sent in real time, first and last (default: 20)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    chosen = parser.parse_args()
    chosen.parts = chosen.parts.split(",")
    for name in chosen.parts:
        if name not in PARTS:
            parser.error(f"no part {name!r}; parts are: {', '.join(PARTS)}")
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
    if max(chosen.users, chosen.receivers) > room:
        parser.error(f"this process may have {room + SPARE} descriptors: at most {room} users (ulimit -n)")
    return chosen


def say(text: str) -> None:
    print(text, flush=True)


def rss_mib(pid: int) -> float:
    """Resident memory of a process now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchError("it ended")


def percentile(values: Sequence[float], percent: float) -> float:
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * int(percent * 10) // 1000) - 1)]


def wait_until(condition: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise BenchError(f"it ended early, exit code {process.returncode}")
        if time.monotonic() > until:
            raise BenchError(f"not ready after {seconds:.0f} s")
        time.sleep(0.5)


def end(process: subprocess.Popen[bytes], report: Path, seconds: float = 120.0) -> dict[str, Any]:
    """Ends a Locust run as a user would, and returns its report."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise BenchError(f"not ended {seconds:.0f} s after SIGINT") from None
    if not report.is_file():
        raise BenchError(f"exit code {process.returncode}, no report")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def locust(locustfile: Path, report: Path, *more: str, headless: bool = True) -> list[str]:
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--only-summary"]
    command += ["--headless"] if headless else []
    return [*command, "--sio-report", str(report), *more]


def environment(part: str, **more: str) -> dict[str, str]:
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"SIOLOAD_SCALE": part, "PYTHONPATH": python_path} | more


def npm_server(**options: Any) -> list[str]:
    return ["node", str(HERE / "npm_server.js"), str(MODULES), json.dumps(options)]


def event(report: dict[str, Any], type: str, name: str) -> dict[str, Any]:
    for found in report["events"]:
        if (found["type"], found["name"]) == (type, name):
            return dict(found)
    return {"count": 0, "failures": 0, "latency_ms": None}


# Thousands of users in one process.


class Together:
    """Several servers, as one."""

    def __init__(self, servers: list[Server]) -> None:
        self._servers = servers

    def counts(self) -> dict[str, Any]:
        """The sums of what they counted."""
        told = [server.counts() for server in self._servers]
        closed = sum((Counter(counts["closed"]) for counts in told), Counter())
        return {name: sum(c[name] for c in told) for name in told[0] if name != "closed"} | {"closed": closed}


def hold(tools: Tools, chosen: argparse.Namespace, part: str) -> dict[str, Any]:
    """Holds users for a while, and compares what both sides counted."""
    if "node" in tools.missing:
        raise BenchError(tools.missing["node"])
    report = tools.directory / "report.json"
    file = ROOT / "locustfiles" / "idle_crowd.py" if part == "idle" else HERE / "scale_users.py"
    rate, ca, pem = (TLS_SPAWN_RATE, tools.ca, str(tools.pem)) if part == "tls" else (SPAWN_RATE, None, None)
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(npm_server(pingInterval=HEARTBEAT * 1000, pem=pem), ca))
            for _ in range(TLS_SERVERS if part == "tls" else 1)
        ]
        server = Together(servers)
        host = ["--host", servers[0].url, "-u", str(chosen.users), "-r", str(rate)]
        where = environment(part, SIOLOAD_SERVERS=" ".join(s.url for s in servers), SIOLOAD_CA=str(ca))
        with started(tools, locust(file, report, *host), where) as process:
            opening = chosen.users / rate
            wait_until(lambda: server.counts()["open"] >= chosen.users, 3 * opening + 60, process)
            time.sleep(10)
            found = watch(server, process, chosen.seconds)
            found |= {"users": chosen.users, "seconds": chosen.seconds}
            told = end(process, report)
        counts = server.counts()
    ledger, closed, health = told["ledger"], told["connections"]["closed"], told["health"]
    lost = sum(found["closed_meanwhile"].values()) + sum(n for why, n in closed.items() if why != "client")
    agree = ledger["emits"] == ledger["acked"] == counts["emits"] == counts["acks"]
    call = event(told, "CALL", "still here")
    found |= {
        "lost": lost,
        "closed": closed,
        "agree": agree,
        "emits": counts["emits"],
        "call_ms": call["latency_ms"],
        "heartbeats": event(told, "HEARTBEAT", "ping")["count"],
        "pongs": counts["pongs"],
        "failures": sum(e["failures"] for e in told["events"]),
        "own_lag_p99_ms": health["own_lag_p99_ms"],
        "machine_lag_p99_ms": health["machine_lag_p99_ms"],
        "verdict": health["verdict"],
        "limited": [health["processes"][0]["limited"], health["processes"][0]["windows"]],
        "untrusted": told["untrusted"],
    }
    memory = found["rss_mib"]
    say(f"  connections lost            {lost:,}; at the end, closed: {closed}")
    say(f"  failures                    {found['failures']:,}")
    say(f"  emits and acks              {counts['emits']:,}, both sides {'agree' if agree else 'DIFFER'}")
    if acks := call["latency_ms"]:
        say(f"  ack p50, p99                {acks['p50']:.1f}, {acks['p99']:.1f} ms")
    say(
        f"  heartbeats answered         {counts['pongs']:,}; in the watched time {found['pongs_share']:.1%} "
        "of those due"
    )
    say(f"  memory start, middle, end   {', '.join(f'{m:.1f}' for m in memory)} MiB ({growth(memory):+.1%})")
    say(f"  own lag p99                 {health['own_lag_p99_ms']:.1f} ms (to reach: below 50)")
    say(f"  machine's lag p99           {health['machine_lag_p99_ms']:.1f} ms")
    say(f"  CPU                         {found['cpu']:.1%} of a core (server {found['server_cpu']:.1%})")
    for reason in told["untrusted"]:
        say(f"  sioload says: {reason}")
    return found


def growth(memory: Sequence[float]) -> float:
    return memory[-1] / memory[0] - 1


def watch(server: Together, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """Memory and CPU of a run, and its server's counts, while it goes on."""
    before, cpu, began = server.counts(), tree_cpu(process.pid), time.monotonic()
    memory = [rss_mib(process.pid)]
    minute = 60.0
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(5.0, seconds - passed))
        memory.append(rss_mib(process.pid))
        if time.monotonic() - began >= minute:
            minute += 60.0
            counts = server.counts()
            say(f"    {minute / 60 - 1:.0f} min: {counts['open']:,} open, {memory[-1]:.0f} MiB")
    passed = time.monotonic() - began
    counts, cpu = server.counts(), tree_cpu(process.pid) - cpu
    return {
        "rss_mib": [round(memory[0], 1), round(memory[len(memory) // 2], 1), round(memory[-1], 1)],
        "cpu": cpu / passed,
        "server_cpu": (counts["cpu"] - before["cpu"]) / passed,
        "closed_meanwhile": counts["closed"],
        "pongs_share": (counts["pongs"] - before["pongs"]) / (counts["open"] * passed / HEARTBEAT),
        "acks_per_second": (counts["acks"] - before["acks"]) / passed,
    }


# One event to everyone.


def broadcast(tools: Tools, chosen: argparse.Namespace, part: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("npm", "responder"):
        if kind in tools.missing:
            say(f"  not measured: {kind} ({tools.missing[kind]})")
            continue
        name = {"npm": "npm socket.io", "responder": "responder.c"}[kind]
        say(f"  server: {name}")
        runs = {"raw": raw_receiver, "sioload": receivers}
        found[kind] = {who: spread(run(tools, chosen, kind), who) for who, run in runs.items()}
        added = {
            key: found[kind]["sioload"][key] - found[kind]["raw"][key]
            for key in ("last_p50_ms", "last_p99_ms", "spread_p50_ms", "spread_p99_ms")
        }
        found[kind]["added"] = added
        say(f"    last receiver, added by sioload: {both(added, 'last')}")
    return found


def broadcaster(tools: Tools, chosen: argparse.Namespace, kind: str) -> list[str]:
    rounds = int(chosen.broadcast_seconds * BROADCAST_RATE)
    if kind == "npm":
        return npm_server(broadcasts=rounds, rate=BROADCAST_RATE, after=chosen.receivers)
    return [str(tools.directory / "responder"), str(BROADCAST_RATE), str(chosen.receivers), str(rounds)]


def raw_receiver(tools: Tools, chosen: argparse.Namespace, kind: str) -> dict[str, Any]:
    """The C program. It must hold all connections itself: the kernel's part is the same then."""
    if "floor" in tools.missing:
        raise BenchError(tools.missing["floor"])
    with serving(broadcaster(tools, chosen, kind)) as server:
        seconds = chosen.broadcast_seconds + 4
        port = server.url.rpartition(":")[2]
        command = [str(tools.directory / "floor"), port, str(chosen.receivers), str(seconds), "rounds"]
        with started(tools, command, dict(os.environ)) as process:
            process.wait(seconds + 120)
            counts = server.counts()
        result: dict[str, Any] = json.loads((tools.directory / "log.txt").read_text())
    return {"rounds": result["rounds"], "sent": counts["pushes"], "counted": result["total"]}


def receivers(tools: Tools, chosen: argparse.Namespace, kind: str) -> dict[str, Any]:
    report, out = tools.directory / "report.json", tools.directory / "rounds.json"
    with serving(broadcaster(tools, chosen, kind)) as server:
        users = ["--host", server.url, "-u", str(chosen.receivers), "-r", str(SPAWN_RATE)]
        command = locust(HERE / "scale_users.py", report, *users)
        with started(tools, command, environment("broadcast", SIOLOAD_ROUNDS=str(out))) as process:
            opening = chosen.receivers / SPAWN_RATE
            wait_until(lambda: server.counts()["open"] >= chosen.receivers, 3 * opening + 60, process)
            cpu, began = tree_cpu(process.pid), time.monotonic()
            time.sleep(chosen.broadcast_seconds)
            cpu, passed = tree_cpu(process.pid) - cpu, time.monotonic() - began
            rounds = int(chosen.broadcast_seconds * BROADCAST_RATE)
            wait_until(lambda: server.counts()["broadcasts"] >= rounds, 60, process)
            time.sleep(2)
            sent = server.counts()["pushes"]
            told = end(process, report)
    push = event(told, "PUSH", "news")
    return {
        "rounds": json.loads(out.read_text())["rounds"],
        "sent": sent,
        "counted": push["count"],
        "cpu": cpu / passed,
        "own_lag_p99_ms": told["health"]["own_lag_p99_ms"],
        "untrusted": told["untrusted"],
    }


def spread(run: dict[str, Any], who: str) -> dict[str, Any]:
    """How long a broadcast took to reach its last receiver."""
    rounds = run.pop("rounds")
    if not rounds:
        raise BenchError("no broadcast came")
    last = [1000 * (last - sent) for sent, _, last, _ in rounds]
    between = [1000 * (last - first) for _, first, last, _ in rounds]
    for name, values in (("last", last), ("spread", between)):
        for percent in (50, 99):
            run[f"{name}_p{percent}_ms"] = round(percentile(values, percent), 2)
    run["broadcasts"] = len(rounds)
    whole = run["sent"] == run["counted"] == sum(int(copies) for *_, copies in rounds)
    run["whole"] = whole
    name = "C receiver" if who == "raw" else "sioload"
    say(
        f"    {name}: {run['counted']:,} of {run['sent']:,} copies of {len(rounds)} broadcasts"
        + ("" if whole else " NOT WHOLE")
    )
    say(f"      sent to last receiver {both(run, 'last')}; first to last {both(run, 'spread')}")
    if "cpu" in run:
        say(f"      CPU {run['cpu']:.1%} of a core, own lag p99 {run['own_lag_p99_ms']:.1f} ms")
    return run


def both(figures: dict[str, Any], name: str) -> str:
    return f"p50 {figures[f'{name}_p50_ms']:.1f} ms, p99 {figures[f'{name}_p99_ms']:.1f} ms"


# A master with many workers.


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def master(tools: Tools, chosen: argparse.Namespace, part: str) -> dict[str, Any]:
    report = tools.directory / "report.json"
    port, web, metrics = free_port(), free_port(), free_port()
    pages = {
        "chart page's data": f"http://127.0.0.1:{web}/sioload/data?rows=5,6,7,8",
        "Locust's, with the tab": f"http://127.0.0.1:{web}/stats/requests",
        "metrics": f"http://127.0.0.1:{metrics}/metrics",
    }
    options = ["--autostart", "--web-host", "127.0.0.1", "--web-port", web, "--sio-metrics-port", metrics,
               "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--host",
               "http://127.0.0.1:1", "--expect-workers", str(chosen.workers), "-u", str(chosen.workers * 100),
               "-r", str(chosen.workers * 100), "--loglevel", "ERROR"]  # fmt: skip
    given = (port, chosen.workers, chosen.rows, chosen.reports, chosen.paced)
    command = [sys.executable, str(HERE / "scale_workers.py"), *map(str, given)]
    line = locust(HERE / "scale_users.py", report, *options, headless=False)
    with started(tools, line, environment(part)) as process:
        workers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(part))
        look = [sys.executable, str(HERE / "look.py"), json.dumps(pages)]
        looker = subprocess.Popen(look, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            marks, result = follow(process, workers, limit=600 + chosen.reports * chosen.workers * 0.02)
            answers = json.loads(looker.communicate(timeout=120)[0])
            told = end(process, report)
        finally:
            for each in (workers, looker):
                each.kill()
                each.communicate()
    return judge_master(chosen, marks, result, told) | tell_answers(answers)


def tell_answers(answers: dict[str, list[float]]) -> dict[str, Any]:
    found = {}
    for name, times in answers.items():
        if not times:
            raise BenchError(f"no answer: {name}")
        median, worst = (1000 * percentile(times, percent) for percent in (50, 100))
        found[name] = {"p50_ms": round(median, 1), "max_ms": round(worst, 1), "times": len(times)}
        say(f"  {name + ':':<27} p50 {median:.0f}, worst {worst:.0f} ms (to reach: below 1,000 ms)")
    return {"pages": found}


def follow(
    process: subprocess.Popen[bytes], workers: subprocess.Popen[str], limit: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the master used up to the start of each phase, and what the workers tell at the end."""
    assert workers.stdout is not None
    marks: list[dict[str, Any]] = []
    signal.signal(signal.SIGALRM, lambda *_: workers.kill())
    signal.alarm(int(limit))
    try:
        for line in workers.stdout:
            told = json.loads(line)
            mark = {
                "phase": told["phase"],
                "at": time.monotonic(),
                "cpu": tree_cpu(process.pid),
                "rss": rss_mib(process.pid),
            }
            marks.append(mark | {"reports": told.get("reports", 0)})
            say(f"    {told['phase']}: master holds {mark['rss']:.0f} MiB, used {mark['cpu']:.0f} s of CPU")
            if told["phase"] == "done":
                return marks, told
    finally:
        signal.alarm(0)
    raise BenchError(f"the simulated workers ended early, or not within {limit:.0f} s")


def judge_master(
    chosen: argparse.Namespace, marks: list[dict[str, Any]], result: dict[str, Any], told: dict[str, Any]
) -> dict[str, Any]:
    phases = {
        mark["phase"]: {
            "reports": mark["reports"],
            "ms_per_report": 1000 * (after["cpu"] - mark["cpu"]) / mark["reports"],
            "cpu": (after["cpu"] - mark["cpu"]) / (after["at"] - mark["at"]),
            "rss_mib": round(after["rss"], 1),
        }
        for mark, after in itertools.pairwise(marks)
    }
    late = phases["late"]
    samples = sum(event["count"] for event in told["events"])
    memory = [round(mark["rss"], 1) for mark in marks]
    waits = result["waits"]["late"]
    size = max(result["sizes"], default=0)
    round_seconds = late["ms_per_report"] * chosen.workers / 1000
    found = {
        "workers": chosen.workers,
        "rows": chosen.rows,
        "reports": chosen.reports,
        "phases": phases,
        "ms_per_report": late["ms_per_report"],
        "us_per_row": 1000 * late["ms_per_report"] / chosen.rows,
        "seconds_per_round": round_seconds,
        "workers_per_core": int(INTERVAL / (late["ms_per_report"] / 1000)),
        "report_kb": round(size / 1000, 1),
        "wait_p50_ms": round(1000 * percentile(waits, 50), 1),
        "wait_p99_ms": round(1000 * percentile(waits, 99), 1),
        "rss_mib": memory,
        "samples": samples,
        "agree": samples == result["samples"],
        "untrusted": told["untrusted"],
    }
    say(f"  {chosen.workers} workers, {chosen.rows} rows each, {chosen.reports:,} reports each")
    for phase in ("early", "late"):
        cpu, ms = phases[phase]["cpu"], phases[phase]["ms_per_report"]
        say(f"  in real time, {phase + ':':<6} {cpu:.1%} of a core, {ms:.1f} ms of CPU per report in all")
    for phase in ("first half", "second half"):
        ms = phases[phase]["ms_per_report"]
        say(f"  fast, {phase + ':':<13} {ms:.2f} ms of CPU per report (to reach: 5)")
    say(f"  per row                     {found['us_per_row']:.0f} us")
    say(f"  size of a report            {found['report_kb']:,.0f} kB")
    say(f"  all workers' reports        {round_seconds:.2f} s of CPU (to reach: below {INTERVAL:.0f} s)")
    say(f"  report to answer p50, p99   {found['wait_p50_ms']:.0f}, {found['wait_p99_ms']:.0f} ms")
    say(f"  one master core carries     {found['workers_per_core']:,} such workers")
    say(f"  master's memory             {', '.join(f'{m:.0f}' for m in memory)} MiB")
    say(f"  samples                     {samples:,}, {'all' if found['agree'] else 'NOT ALL'} that were sent")
    for reason in told["untrusted"]:
        say(f"  sioload says: {reason}")
    return found


PARTS: dict[str, tuple[str, Callable[[Tools, argparse.Namespace, str], dict[str, Any]]]] = {
    "idle": ("users of locustfiles/idle_crowd.py in one process", hold),
    "crowd": ("users with one acknowledged emit per 10 s in one process", hold),
    "tls": ("users of locustfiles/idle_crowd.py in one process, over TLS", hold),
    "broadcast": ("users of one process get a broadcast 5 times a second", broadcast),
    "master": ("one master, many workers", master),
}


def main() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    chosen = arguments()
    # Leave by the way that ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="sioload-scale-"))
    failed = False
    try:
        tools = Tools.find(directory)
        stand = versions(tools)
        results: dict[str, Any] = {"versions": stand}
        say(", ".join(f"{name} {version}" for name, version in stand.items()))
        if (busy := busy_share()) > 0.05:
            say(f"other programs use {100 * busy:.0f} % of this machine: figures are rough")
        for part in chosen.parts:
            title, measure = PARTS[part]
            count = {"broadcast": chosen.receivers, "master": 0}.get(part, chosen.users)
            say(f"\n{part}: {f'{count:,} ' if count else ''}{title}")
            began = time.monotonic()
            (directory / "report.json").unlink(missing_ok=True)
            try:
                results[part] = measure(tools, chosen, part)
            except (BenchError, OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
                failed = True
                log = directory / "log.txt"
                told = last_line(log.read_text(errors="replace")) if log.exists() else ""
                say(f"  could not be measured: {error!r}\n  {told}")
                results[part] = {"error": repr(error)}
            say(f"  ({time.monotonic() - began:.0f} s)")
            if chosen.json:
                chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    finally:
        shutil.rmtree(directory)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
