"""The benchmark: what one operation costs sioload, its peers, and a C program that does nothing else.

    python tests/benchmarks/run.py [--quick] [--rows alone,push] [--json FILE] [--readme]

The server runs on one core and the generator on another; every program of a row is measured in turn, three
times, forth and back, and medians are compared. A program measures its own CPU over a steady window, after
its connects and a second of warm-up. With several runs, the median of the runs and the worst of them are
judged. It states what holds and what doesn't, and exits 0 either way: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import report
from generators import ARTILLERY, MODULES, ROOT, BenchError, Tools, measure
from rows import ROWS, WEBSOCKET, Row

from sioload.measure import histogram

#: Share of the machine that others use, from which figures mean little.
ROUGH = 0.05


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
    parser.add_argument("--runs", type=int, default=1, help="of everything, one after another (default: 1)")
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


def measure_row(
    tools: Tools, row: Row, figures: report.Figures, run: int, rounds: int, seconds: float
) -> None:
    """Measures the row's programs in turn, round by round; a program that fails once is left out."""
    programs = ([row.base] if row.base else []) + list(row.programs)
    if not run:
        figures.update({program: [] for program in programs})
    programs = [program for program in programs if program in figures]
    for number in range(rounds):
        for program in programs[:: -1 if number % 2 else 1]:
            try:
                measured = measure(tools, row, program, seconds)
                figures[program].append(replace(measured, run=run))
            except (BenchError, OSError) as error:
                programs.remove(program)
                del figures[program]
                if program not in tools.missing:
                    print(f"    {row.key}, {program}: {error}", flush=True)


def prepared(row: Row, chosen: argparse.Namespace) -> Row:
    """The row as the arguments want it."""
    row = row.quick() if chosen.quick else row
    if chosen.server and row.mode == "ack" and row.transports == WEBSOCKET:
        row = replace(row, server=chosen.server)
    return row


def versions(tools: Tools) -> dict[str, str]:
    found = {"Python": f"{platform.python_version()} ({os.path.realpath(sys.executable)})"}
    found["sioload"] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    # Of a module that doesn't import Locust, whose patched subprocess times out at once after a long read.
    found["sioload"] += " (plain Python)" if (histogram.__file__ or "").endswith(".py") else " (compiled)"
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
        print(f"{chosen.runs} run(s) of {chosen.rounds} round(s), medians\n\n{report.header()}", flush=True)
        results: list[tuple[Row, report.Figures]] = [
            (prepared(row, chosen), {}) for row in ROWS if row.key in chosen.rows
        ]
        busy: list[float] = []
        for run in range(chosen.runs):
            for row, figures in results:
                busy.append(busy_share())
                measure_row(tools, row, figures, run, chosen.rounds, 2.0 if chosen.quick else 4.0)
                print(report.text(row, figures), flush=True)
        stand["other load"] = f"{100 * statistics.median(busy):.0f} % (at most {100 * max(busy):.0f} %)"
        rough = ": figures are rough" if max(busy) > ROUGH else ""
        print(f"\nother programs used {stand['other load']} of this machine between the rows{rough}")
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
    command = (
        f"make bench{f' RUNS={chosen.runs}' if chosen.runs > 1 else ''}"
        if not chosen.quick
        else "python tests/benchmarks/run.py --quick"
    )
    if chosen.readme and not report.write_readme(
        ROOT / "README.md", report.markdown(results, stand, command)
    ):
        print(f"README.md has no lines {report.BEGIN} and {report.END}: not written", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
