"""Locust's CSV files at the end of a run."""

from __future__ import annotations

from pathlib import Path

import gevent
import locust.stats
from locust.env import Environment

from sioload.swarm.outputs import CsvFiles


def test_nobody_writes_into_the_files_once_they_are_closed(tmp_path: Path) -> None:
    files = CsvFiles(Environment(), locust.stats.PERCENTILES_TO_REPORT, str(tmp_path / "run"))
    writer = gevent.spawn(files.stats_writer)
    gevent.sleep(0.1)
    files.close_files()
    gevent.sleep(1.1 * locust.stats.CSV_STATS_INTERVAL_SEC)  # the process ends slowly
    assert writer.successful(), writer.exception
    assert (tmp_path / "run_stats.csv").read_text().startswith("Type,Name,")
