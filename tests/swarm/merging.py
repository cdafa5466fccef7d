"""Workers' reports merged by Locust's own listener, and by ours: prints what the statistics hold, as JSON."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

from locust.event import Events  # noqa: E402
from locust.rpc import Message  # noqa: E402
from locust.stats import RequestStats, StatsEntry, setup_distributed_stats_event_listeners  # noqa: E402

from sioload.swarm import statistics  # noqa: E402

START = 1_700_000_000.0
now = START
time.time = lambda: now


def reports(seed: int) -> list[dict[str, Any]]:
    """Of three workers whose clocks differ, some rows without times, some without samples at all."""
    global now
    draw = random.Random(seed)
    workers = []
    for _ in range(3):
        stats, events = RequestStats(), Events()
        setup_distributed_stats_event_listeners(events, stats)
        workers.append((stats, events, draw.uniform(-2.5, 2.5)))
    found = []
    for turn in range(12):
        for stats, events, ahead in workers:
            for _ in range(draw.randrange(30)):
                now = START + 3 * turn + draw.uniform(0, 3) + ahead
                row = ("CALL", "GET", "EMIT", "WAIT")[draw.randrange(4)], f"name {draw.randrange(3)}"
                ms = None if draw.random() < 0.2 else draw.lognormvariate(3, 2)
                stats.log_request(*row, ms, draw.randrange(100))
                if draw.random() < 0.2:
                    stats.log_error(*row, "refused")
            data: dict[str, Any] = {}
            events.report_to_master.fire(client_id="x", data=data)
            found.append(Message.unserialize(Message("stats", data, "x").serialize()).data)
    return found


def held(entry: StatsEntry) -> dict[str, Any]:
    """All that a row of the master holds."""
    state = {name: value for name, value in vars(entry).items() if name != "stats"}
    cache = {second: repr(times) for second, times in (state.pop("response_times_cache") or {}).items()}
    return {**{name: repr(value) for name, value in state.items()}, "cache": cache}


def merged(told: list[dict[str, Any]], quickly: bool) -> dict[str, Any]:
    """What the master's statistics hold of these reports, and what a listener of the script's own saw."""
    global now
    now = START - 5
    stats, events, seen = RequestStats(), Events(), []
    setup_distributed_stats_event_listeners(events, stats)
    events.worker_report.add_listener(lambda client_id, data: seen.append(len(data["stats"])))
    if quickly:
        statistics.merge_quickly(events, stats)
    assert (events.worker_report._handlers[0].__module__ == "locust.stats") is not quickly
    for data in told:
        events.worker_report.fire(client_id="x", data=data)
        now += 0.4
    return {
        "rows": [held(entry) for entry in (*stats.entries.values(), stats.total)],
        "errors": {repr(key): repr(error.to_dict()) for key, error in stats.errors.items()},
        "seen": seen,
    }


if __name__ == "__main__":
    told = reports(int(sys.argv[1]))
    if sys.argv[2:] == ["older"]:
        for row in (row for data in told for row in data["stats"]):
            del row["num_fail_per_sec"]
    print(json.dumps([merged(told, quickly) for quickly in (False, True)]))
