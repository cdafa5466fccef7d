"""Rows into Locust's own statistics, in batches: 0.6 us a sample where `events.request.fire` takes 6.

The master adds workers' rows up as Locust does, at about half of the cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import locust.stats
from locust.event import Events
from locust.stats import RequestStats, StatsEntry, StatsEntryDict, StatsError

from sioload.measure.histogram import add_to, round_ms
from sioload.measure.row_types import ROW_TYPES
from sioload.measure.rows import Delta
from sioload.plain import Json

#: What of a row in a worker's report is added up.
_ADDED: Final = ("num_requests", "num_none_requests", "num_failures", "total_response_time",
                 "total_content_length")  # fmt: skip
#: And what holds counts by key.
_COUNTED: Final = ("response_times", "num_reqs_per_sec", "num_fail_per_sec")
#: All that is told of a row there.
_TOLD: Final = {"name", "method", "start_time", "last_request_timestamp", "min_response_time",
                "max_response_time", *_ADDED, *_COUNTED}  # fmt: skip


def replace_rounding() -> None:
    """Make Locust's columns show 0.1 ms below 10 ms, unless the script has put its own rounding there."""
    if locust.stats.bucket_response_time.__module__ == locust.stats.__name__:
        locust.stats.bucket_response_time = round_ms  # type: ignore[assignment]


def log(stats: RequestStats, deltas: Iterable[Delta]) -> None:
    """Add what rows counted to Locust's statistics, as if each sample had been fired as a request.

    Entries are looked up each time: Locust replaces them all when a test starts.
    """
    for delta in deltas:
        batch = _entry(stats, delta)
        stats.entries[(delta.name, delta.type)].extend(batch)
        if ROW_TYPES[delta.type].aggregated:
            stats.total.extend(batch)
        for message, occurrences in delta.errors.items():
            _log_error(stats, delta, message, occurrences)


def _entry(stats: RequestStats, delta: Delta) -> StatsEntry:
    now = time.time()
    entry: Any = StatsEntry(stats, delta.name, delta.type)
    entry.num_requests = delta.count
    entry.num_none_requests = delta.untimed
    entry.num_failures = delta.failures
    entry.total_response_time = delta.sum_ms
    entry.min_response_time = delta.min_ms
    entry.max_response_time = delta.max_ms
    entry.response_times = delta.locust_times()
    entry.total_content_length = delta.bytes
    entry.last_request_timestamp = now
    entry.num_reqs_per_sec = {int(now): delta.count}
    entry.num_fail_per_sec = {int(now): delta.failures} if delta.failures else {}
    return cast(StatsEntry, entry)


def _log_error(stats: RequestStats, delta: Delta, message: str, occurrences: int) -> None:
    key = StatsError.create_key(delta.type, delta.name, message)
    error = stats.errors.get(key)
    if error is None:
        error = stats.errors[key] = StatsError(delta.type, delta.name, message)
    error.occurred()
    error.occurrences += occurrences - 1


def merge_quickly(events: Events, stats: RequestStats) -> None:
    """Have workers' rows merged here, in the place of Locust's own listener and to the same effect."""
    handlers = events.worker_report._handlers
    for place, theirs in enumerate(handlers):
        if getattr(theirs, "__module__", "") == locust.stats.__name__:
            handlers[place] = _quicker(theirs, stats)


def _quicker(theirs: Callable[..., None], stats: RequestStats) -> Callable[..., None]:
    def on_worker_report(client_id: str, data: dict[str, Json], **more: object) -> None:
        for row in data["stats"]:
            _merge(stats, row)
        theirs(client_id=client_id, data={**data, "stats": []}, **more)

    return on_worker_report


def _merge(stats: RequestStats, row: StatsEntryDict) -> None:
    """What `StatsEntry.extend` does with `StatsEntry.unserialize(row)`."""
    key = (row["name"], row["method"])
    entry: Any = stats.entries.get(key)
    if entry is None:
        entry = stats.entries[key] = StatsEntry(stats, *key, use_response_times_cache=True)
    if row.keys() != _TOLD:  # another version of Locust knows what to do with it
        entry.extend(StatsEntry.unserialize(row, stats))
        return
    before, newest = entry.last_request_timestamp, row["last_request_timestamp"]
    if newest is not None and (before is None or newest > before):
        entry.last_request_timestamp = newest
    entry.start_time = min(entry.start_time, row["start_time"])
    entry.max_response_time = max(entry.max_response_time, row["max_response_time"])
    least = row["min_response_time"]
    if least is not None and (entry.min_response_time is None or least < entry.min_response_time):
        entry.min_response_time = least
    told: Any = row
    for name in _ADDED:
        setattr(entry, name, getattr(entry, name) + told[name])
    for name in _COUNTED:
        add_to(getattr(entry, name), told[name])
    if entry.use_response_times_cache and newest is not None:
        second = int(entry.last_request_timestamp)
        if second > int(before or 0):
            entry._cache_response_times(second)


def fold(report: dict[str, Json], admit: Any) -> None:
    """Give a worker's report the row names that the merged figures use, before Locust merges it.

    Args:
        report: what Locust's worker sent; changed in place.
        admit: `(row type, name) -> name`: the name itself, or `(other)` once there are too many.
    """
    for entry in report["stats"]:
        if entry["method"] in ROW_TYPES:
            entry["name"] = admit(entry["method"], entry["name"])
    errors: dict[str, Json] = {}
    for key, error in report["errors"].items():
        if error["method"] in ROW_TYPES:
            name = error["name"] = admit(error["method"], error["name"])
            key = StatsError.create_key(error["method"], name, error["error"])
        if key in errors:
            errors[key]["occurrences"] += error["occurrences"]
        else:
            errors[key] = error
    report["errors"] = errors


def discard(report: dict[str, Json]) -> None:
    """Empty a worker's report of samples from before a reset."""
    empty = StatsEntry(RequestStats(use_response_times_cache=False), "Aggregated", "")
    report["stats"], report["errors"] = [], {}
    report["stats_total"] = empty.serialize()
