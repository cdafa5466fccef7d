"""The benchmark: what one operation costs sioload, its peers, and a C program that does nothing else.

    python tests/benchmarks/run.py [--quick] [--rows alone,push] [--json FILE] [--readme]

The server runs on one core and the generator on another; every program of a row is measured in turn, three
times, and medians are compared. A program measures its own CPU over a steady window, after its connects and
a second of warm-up. It states what holds and what doesn't, and exits 0 either way: figures depend on the
machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import report
from generators import ARTILLERY, MODULES, ROOT, BenchError, Measured, Tools, measure
from rows import ROWS, WEBSOCKET, Row

from sioload.swarm.producer import is_compiled


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [row.key for row in ROWS]
    parser.add_argument(
        "--quick", action="store_true", help="one round, short windows, fewer users: under 3 minutes"
    )
    parser.add_argument("--rows", default=",".join(names), help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each row (default: 3, quick: 1)")
    parser.add_argument("--server", choices=("responder", "npm"), help="this server in every emit + ack row")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    chosen = parser.parse_args()
    chosen.rows = chosen.rows.split(",")
    for name in chosen.rows:
        if name not in names:
            parser.error(f"no row {name!r}; rows are: {', '.join(names)}")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    return chosen


def measure_row(tools: Tools, row: Row, rounds: int, seconds: float) -> report.Figures:
    """Measures the row's programs in turn, round by round; a program that fails once is left out."""
    programs = ([row.base] if row.base else []) + list(row.programs)
    figures: dict[str, list[Measured]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program in list(programs):
            try:
                figures[program].append(measure(tools, row, program, seconds))
            except (BenchError, OSError) as error:
                programs.remove(program)
                figures[program].clear()
                if program not in tools.missing:
                    print(f"    {row.key}, {program}: {error}", flush=True)
    return figures


def versions(tools: Tools) -> dict[str, str]:
    found = {"Python": platform.python_version()}
    found["sioload"] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found["sioload"] += " (compiled)" if is_compiled() else " (plain Python)"
    for name in ("locust", "gevent", "python-socketio"):
        found[name] = importlib.metadata.version(name)
    if "node" not in tools.missing:
        found["Node"] = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip(
            " v\n"
        )
        for name, alias in (("socket.io", "sio4"), ("socket.io-client", "client4")):
            found[name] = json.loads((MODULES / alias / "package.json").read_text())["version"]
    if "artillery" not in tools.missing:
        found["Artillery"] = json.loads((ARTILLERY / "package.json").read_text())["version"]
    if "floor" not in tools.missing:
        found["cc"] = subprocess.run(
            ["cc", "-dumpfullversion"], capture_output=True, text=True
        ).stdout.strip()
    found["Linux"] = platform.release().partition("-")[0]
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    found["CPU"] = cpu[0].partition(":")[2].strip() if cpu else platform.machine()
    return found


def busy_share() -> float:
    """How busy the machine is before anything of the benchmark runs: a share of all its cores."""

    def ticks() -> tuple[int, int]:
        fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = ticks()
    time.sleep(1)
    total, idle = ticks()[0] - total, ticks()[1] - idle
    return 1 - idle / total


def main() -> int:
    chosen = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="sioload-bench-"))
    try:
        tools = Tools.find(directory)
        stand = versions(tools)
        print(", ".join(f"{name} {version}" for name, version in stand.items()))
        for name, why in tools.missing.items():
            print(f"not measured: {name} ({why})")
        if (busy := busy_share()) > 0.05:
            print(f"other programs use {100 * busy:.0f} % of this machine: figures are rough")
        print(f"{chosen.rounds} round(s), medians\n\n{report.header()}", flush=True)
        results = []
        for row in ROWS:
            if row.key not in chosen.rows:
                continue
            row = row.quick() if chosen.quick else row
            if chosen.server and row.mode == "ack" and row.transports == WEBSOCKET:
                row = replace(row, server=chosen.server)
            figures = measure_row(tools, row, chosen.rounds, 2.0 if chosen.quick else 4.0)
            results.append((row, figures))
            print(report.text(row, figures), flush=True)
    finally:
        shutil.rmtree(directory)
    watch = [sys.executable, str(Path(__file__).with_name("watch.py"))]
    cost = float(subprocess.run(watch, capture_output=True, text=True, check=True).stdout)
    print(
        f"\nthe watch on its own lag: {cost:.2f} us of CPU a turn of the event loop (to reach: at most 0.5)"
    )
    print(f"{time.monotonic() - began:.0f} s")
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(results, stand), indent=1) + "\n")
    command = "make bench" if not chosen.quick else "python tests/benchmarks/run.py --quick"
    if chosen.readme and not report.write_readme(
        ROOT / "README.md", report.markdown(results, stand, command)
    ):
        print(f"README.md has no lines {report.BEGIN} and {report.END}: not written", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
