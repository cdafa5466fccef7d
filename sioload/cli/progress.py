"""A live line in the terminal while a run goes on, in place of Locust's tables."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import gevent
import locust
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner

#: Seconds between two lines: on a terminal, where a line replaces the one before, and elsewhere.
LIVE, LOGGED = 1.0, 5.0


def install() -> None:
    """For a scenario: print this line and the run's summary, but none of Locust's tables."""
    init: Any = locust.events.init
    init.add_listener(_attach)


def _attach(environment: Any, **_: Any) -> None:
    logging.getLogger("locust.stats_logger").disabled = True
    logging.getLogger("sioload").setLevel(logging.INFO)
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(_show, environment.runner)


def _show(runner: Any) -> None:
    live = sys.stderr.isatty()
    shown = False
    while True:
        gevent.sleep(LIVE if live else LOGGED)
        if runner.state in (STATE_SPAWNING, STATE_RUNNING):
            text = line(runner)
            print(f"\r{text:<79}" if live else text, end="" if live else "\n", file=sys.stderr, flush=True)
            shown = live
        elif shown:
            shown = False
            print(file=sys.stderr, flush=True)


def line(runner: Any) -> str:
    """How the run stands: seconds, users, Locust's `Aggregated` line."""
    total = runner.stats.total
    text = f"{time.time() - runner.stats.start_time:4.0f} s  {runner.user_count:,} users"
    text += f"  {total.num_requests:,} requests  {total.current_rps:,.0f}/s"
    for percent in (50, 99):
        at = total.get_current_response_time_percentile(percent / 100)
        text += f"  p{percent} {at:,.0f} ms" if at is not None else ""
    return f"{text}  {total.num_failures:,} failures"
