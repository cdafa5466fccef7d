"""All behaviours of one server and one transport, at once: prints one JSON line for each.

python driver.py --server NAME --transport NAME --url URL [--auto] [--only BEHAVIOUR ...]

With --auto the version isn't told.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gevent  # noqa: E402
from conformance import behaviours  # noqa: E402
from conformance.cell import Cell  # noqa: E402
from conformance.table import BEHAVIOURS, SERVERS, Server  # noqa: E402
from gevent.pool import Pool  # noqa: E402

assert behaviours  # importing it fills the table

PATIENCE = 25.0  # seconds for one behaviour
AT_ONCE = 16


def show(server: Server, transport: str, url: str, name: str, version: Any) -> None:
    """Try one behaviour and print what came of it."""
    function = BEHAVIOURS[name][1]
    cell = Cell(server, transport, url, version)
    began, error = time.perf_counter(), ""
    try:
        with gevent.Timeout(PATIENCE, AssertionError(f"not done in {PATIENCE:g} s")):
            try:
                function(cell)
            finally:
                cell.close()
    except Exception as raised:  # noqa: BLE001 - all of it is the result
        where = traceback.extract_tb(raised.__traceback__)
        lines = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "conformance" in f.filename]
        error = f"{type(raised).__name__}: {raised} ({' < '.join(reversed(lines))})"
    seconds = round(time.perf_counter() - began, 2)
    print(json.dumps({"behaviour": name, "ok": not error, "error": error, "seconds": seconds}), flush=True)


def main() -> None:
    """Run the column."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, choices=SERVERS)
    parser.add_argument("--transport", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--only", action="append")
    parser.add_argument("--auto", action="store_true")
    given = parser.parse_args()
    server = SERVERS[given.server]
    names = [
        name for name, (row, _) in BEHAVIOURS.items()
        if row.applies(server, given.transport) and (not given.only or name in given.only)
    ]  # fmt: skip
    version = "auto" if given.auto else server.version
    pool = Pool(AT_ONCE)
    slow_first = sorted(names, key=lambda name: not name.startswith("heartbeats"))
    for name in slow_first:
        if not BEHAVIOURS[name][0].alone:
            pool.spawn(show, server, given.transport, given.url, name, version)
    pool.join()
    for name in names:
        if BEHAVIOURS[name][0].alone:
            show(server, given.transport, given.url, name, version)


if __name__ == "__main__":
    main()
