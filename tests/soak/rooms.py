"""Whether memory stays level while audiences are followed: a master and its workers, message upon message.

    python tests/soak/rooms.py [--seconds 600] [--per-second 2000] [--users 100] [--size 2] [--workers 2]

An npm server says so many messages a second, each with an identity of its own, to rooms of so many users,
who are dealt to the workers as Locust does. Prints resident memory of every process each ten seconds, how
much it grew in the second half of the run (in the first, each stall of a busy machine makes a new peak), the
CPU that each took, and what the report says of the audiences. Exit code 1 when memory grew by more than 1 %
in ten minutes, somebody missed a message, or fewer messages were judged than were said in the time; a run of
less than five minutes is too short to tell growth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import serverkit  # noqa: E402

EVERY = 10.0  # seconds
TELLING = 300.0  # seconds: a shorter run's growth is the allocator's
MOST = 0.01  # growth of memory in ten minutes
GRACE = 5.0  # seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("seconds", 600),
        ("per-second", 2000),
        ("users", 100),
        ("size", 2),
        ("workers", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lib = serverkit.SERVERS / "node_modules" / "sio4"
        numbers = (str(number) for number in (chosen.users, chosen.size, chosen.per_second))
        node = serverkit.need_node("sio4")
        server = stack.enter_context(serverkit.Process([node, HERE / "rooms.js", lib, *numbers]))
        url = f"http://127.0.0.1:{server.wait_for(serverkit.READY, serverkit.START_DEADLINE).group(1)}"
        port = str(serverkit.free_port())
        file = ["-f", HERE / "rooms_users.py", "--host", url]
        run = ["--headless", "--only-summary", "-u", str(chosen.users), "-r", str(chosen.users), "-t",
               f"{chosen.seconds}s", "--expect-workers", str(chosen.workers), "--sio-grace", f"{GRACE}s",
               "--sio-report", folder / "report.json"]  # fmt: skip
        bind = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        master = stack.enter_context(serverkit.Process(serverkit.locust([*file, *bind, *run])))
        join = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
        processes = {"server": server, "master": master}
        for number in range(1, chosen.workers + 1):
            worker = stack.enter_context(serverkit.Process(serverkit.locust([*file, *join])))
            processes[f"worker {number}"] = worker
        master.wait_for(serverkit.SPAWNED, 60)
        memory, shares = watched(processes)
        code = master.wait(120)
        if not (folder / "report.json").exists():
            print(f"no report, exit code {code}: {master}")
            return 1
        report = json.loads((folder / "report.json").read_text())
    return verdict(chosen, report, memory, shares)


def watched(processes: dict[str, serverkit.Process]) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Resident memory of each process every ten seconds, in KiB, and the share of a core that each took."""
    known = {name: psutil.Process(process.pid) for name, process in processes.items()}
    memory: dict[str, list[int]] = {name: [] for name in processes}
    shares: dict[str, float] = {}
    before = {name: sum(process.cpu_times()[:2]) for name, process in known.items()}
    print("seconds  " + "".join(f"{name:>12}" for name in processes) + "   MiB", flush=True)
    begun = time.monotonic()
    while all(process.popen.poll() is None for process in processes.values()):
        passed = time.monotonic() - begun
        for name, process in known.items():
            memory[name].append(process.memory_info().rss // 1024)
            shares[name] = (sum(process.cpu_times()[:2]) - before[name]) / max(passed, 1.0)
        row = "".join(f"{found[-1] / 1024:12.1f}" for found in memory.values())
        print(f"{passed:7.0f}  {row}", flush=True)
        time.sleep(EVERY)
    return memory, shares


def growth(memory: Sequence[int]) -> float:
    """By how much of itself it grows in ten minutes: the median of the slopes between any two readings."""
    pairs = combinations(enumerate(memory), 2)
    slope = median((later - early) / (j - i) for (i, early), (j, later) in pairs)
    return slope * 600 / EVERY / memory[0]


def verdict(
    chosen: argparse.Namespace,
    report: dict[str, Any],
    memory: dict[str, list[int]],
    shares: dict[str, float],
) -> int:
    """Print what was found; the exit code."""
    wrong = []
    for name, found in memory.items():
        told = f"{name}: {shares[name]:.0%} of a core"
        if chosen.seconds >= TELLING:
            grew = growth(found[len(found) // 2 :])
            told += f", {grew:+.2%} of memory in ten minutes"
            if name != "server" and grew > MOST:
                wrong.append(f"{name} grew")
        print(told)
    (heard,) = report["audience"]
    shown = ("messages", "owed", "reached", "missed", "strays", "duplicates", "late", "unjudged", "share")
    print(", ".join(f"{name} {heard[name]}" for name in shown))
    due = (chosen.seconds - 4 * GRACE - EVERY) * chosen.per_second * heard["share"]
    if heard["messages"] < due * 0.95:
        wrong.append(f"fewer than {due:.0f} messages were judged")
    if heard["missed"] or heard["strays"] or heard["duplicates"]:
        wrong.append("a sound server was found unsound")
    print("; ".join([*wrong, *report["untrusted"]]) or "level")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
