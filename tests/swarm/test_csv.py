"""Locust's CSV files at the end of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import serverkit

SCRIPT = """
import sys
import gevent, locust.stats
from locust.env import Environment
from sioload.swarm.outputs import CsvFiles

files = CsvFiles(Environment(), locust.stats.PERCENTILES_TO_REPORT, sys.argv[1])
writer = gevent.spawn(files.stats_writer)
gevent.sleep(0.1)
files.environment.stats.log_request("CALL", "late", 1, 0)
files.write_now()
files.write_now()
files.close_files()
gevent.sleep(1.1 * locust.stats.CSV_STATS_INTERVAL_SEC)  # the process ends slowly
assert writer.successful(), writer.exception
"""


def test_the_last_rows_are_written_and_nobody_writes_once_the_files_are_closed(tmp_path: Path) -> None:
    done = serverkit.run([sys.executable, "-c", SCRIPT, tmp_path / "run"], 30)
    assert done.code == 0, done.text
    rows = (tmp_path / "run_stats.csv").read_text().splitlines()
    assert [row.split(",")[:3] for row in rows] == [
        ["Type", "Name", "Request Count"], ["CALL", "late", "1"], ["", "Aggregated", "1"],
    ]  # fmt: skip
