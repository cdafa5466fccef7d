"""Whatever goes wrong and however a run ends: its exit code is 0 only when nothing went wrong."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import serverkit
from faults.proxy import Fault, Proxy

USERS = Path(__file__).with_name("erratic.py")
FAULTS = ("none", "mute", "half mute", "killed", "slow", "refusing", "cutting")
ENDS = ("-t", "SIGINT", "SIGTERM", "web", "quit")


@dataclass(frozen=True)
class Plan:
    """What happens in a run.

    Attributes:
        patience: seconds that users wait for a connection or an answer, perhaps longer than the run.
        begins, lasts: seconds from the start of the load until the fault, and of the fault.
    """

    fault: str
    end: str
    workers: int
    transports: str
    patience: float
    begins: float
    lasts: float
    seconds: float


def planned(seed: int, seconds: float) -> Plan:
    """Each fault and each end comes in turn, the rest as chance will have it."""
    rand = random.Random(seed)
    return Plan(
        FAULTS[seed % len(FAULTS)],
        ENDS[seed % len(ENDS)],
        rand.choice((0, 1, 2)),
        rand.choice(("websocket", "polling", "polling,websocket")),
        rand.choice((2.0, 30.0)),
        rand.choice((0.0, rand.uniform(0.1, 0.6) * seconds)),
        rand.choice((1.0, 100.0)),
        seconds,
    )


def spoil(plan: Plan, proxy: Proxy, server: serverkit.Server, over: threading.Event) -> None:
    """Let the fault begin when it is due, and end; `over` ends it early."""
    if over.wait(plan.begins):
        return
    match plan.fault:
        case "mute":
            proxy.stall()
        case "half mute":
            proxy.half, proxy.up, proxy.down = True, Fault(stall=0), Fault(stall=0)
            if plan.begins:
                proxy.cut()
        case "killed":
            server.process.signal(signal.SIGKILL)
        case "slow":
            proxy.up, proxy.down = Fault(delay=0.4), Fault(delay=0.2)
            if plan.begins:
                proxy.reset()
        case "refusing":
            proxy.refusing = True
            proxy.cut()
        case "cutting":
            while not over.wait(0.5):
                proxy.cut()
            return
    if not over.wait(plan.lasts):
        proxy.resume()
        proxy.half = proxy.refusing = False
        proxy.up = proxy.down = Fault()


def run(plan: Plan, url: str, folder: Path, begun: threading.Event) -> tuple[int, str]:
    """The run to its end: exit code and output."""
    web = plan.end == "web"
    port = serverkit.free_port()
    files = ["--sio-report", folder / "report.json"]
    load = ["-u", "6", "-r", "6", "--only-summary", "--stop-timeout", "3", "--sio-drain", "5"]
    how = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(port)] if web else ["--headless"]
    if plan.end == "-t":
        how += ["-t", f"{plan.seconds:g}s"]
    if plan.workers:
        how += ["--processes", str(plan.workers)]
    env = {"TRANSPORTS": plan.transports, "PATIENCE": str(plan.patience)}
    if plan.end == "quit":
        env["QUIT"] = str(plan.seconds)
    argv = serverkit.locust(["-f", USERS, "--host", url, *load, *files, *how])
    with serverkit.Process(argv, cwd=folder, env=env) as process:
        process.wait_for("Ramping to|Sending spawn jobs|Shape test", 60)
        begun.set()
        if plan.end in ("SIGINT", "SIGTERM", "web"):
            time.sleep(plan.seconds)
        if web:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/stop", b"", timeout=20).close()
            while True:
                stats = urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=20)
                with stats:
                    if json.load(stats)["state"] == "stopped":
                        break
                time.sleep(0.2)
        if plan.end in ("SIGINT", "SIGTERM", "web"):
            process.signal(signal.SIGINT if plan.end == "SIGINT" else signal.SIGTERM)
        code = process.wait(60)
        return code, process.out + process.err


def went_wrong(plan: Plan, folder: Path) -> str:
    """What is wrong with a run's exit code; "" if nothing is."""
    begun, over = threading.Event(), threading.Event()
    with serverkit.running("sio4") as server, Proxy(server.port) as proxy:

        def fault() -> None:
            begun.wait()
            spoil(plan, proxy, server, over)

        spoiler = threading.Thread(target=fault)
        spoiler.start()
        try:
            code, text = run(plan, proxy.url, folder, begun)
        finally:
            over.set()
            begun.set()
            spoiler.join()
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
        said = f"{plan}: exit code {code}, {proxy.harmed} harmed, {proxy.held} held\n{text}"
        if code != report["exit_code"]:
            return f"not the report's {report['exit_code']}: {said}"
        if plan.fault == "none" and code not in (0, 4):
            return f"nothing went wrong: {said}"
        if code:
            return ""
        if proxy.harmed or proxy.held or plan.fault == "killed":
            return f"something went wrong: {said}"
        counts, ledger = server.counts(), report["ledger"]
        rows = {(event["type"], event["name"]): event for event in report["events"]}
        calls = serverkit.total(counts["received"], "echo")
        agreed = calls == serverkit.total(counts["acks"], "echo") == ledger["emits"] == ledger["acked"] > 0
        if not agreed or counts["connects"]["/"] != rows["CONNECT", "/"]["count"]:
            return f"the server counted {counts}: {said}"
    return ""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seeds", "seconds"), [(range(1, 5), 4.0), pytest.param(range(5, 35), 10.0, marks=pytest.mark.verify)]
)
def test_the_exit_code_is_0_only_when_nothing_went_wrong(
    tmp_path: Path, seeds: range, seconds: float
) -> None:
    def tried(seed: int) -> str:
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = went_wrong(planned(seed, seconds), folder)
        return found and f"seed {seed}: {found}"

    with ThreadPoolExecutor(4) as pool:
        found = [each for each in pool.map(tried, seeds) if each]
    assert not found, "\n\n".join(found)
