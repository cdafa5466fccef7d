"""One row in the report: its counts, its times, its failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sioload.measure import packing
from sioload.measure.blocks import buckets_of, deltas
from sioload.measure.histogram import PERCENTILES, TICKS, Histogram
from sioload.measure.rows import Totals
from sioload.plain import Json


def event_of(row: Totals, clock_error: float | None, seconds: float) -> dict[str, Json]:
    """A row as reports show it.

    Args:
        row: its totals.
        clock_error: see `Figures`.
        seconds: the time that rates are over.
    """
    shown: dict[str, Json] = {
        "type": row.type,
        "name": row.name,
        "count": row.count,
        "failures": row.failures,
        "rate": round(row.count / seconds, 3) if seconds > 0 else 0.0,
        "latency_ms": latency_ms(row.times),
        "service_ms": None if row.service is None else latency_ms(row.service),
        "skipped": row.skipped,
        "unfinished": row.unfinished,
        "bytes": row.bytes,
        "histogram": packed(row.times),
        "errors": dict(sorted(row.errors.items(), key=lambda item: (-item[1], item[0]))),
        "first": dict(sorted(row.notes.items())),
    }
    if row.type == "PUSH":
        shown["clock_error_ms"] = None if clock_error is None else round(clock_error * 1000, 3)
    return shown


def calls_of(rows: Iterable[Totals]) -> Totals:
    """All that waited for an answer, by an ack or by an event, as one row."""
    calls = Totals("CALL", "")
    for row in rows:
        if row.type in ("CALL", "REPLY"):
            calls.merge(row)
    return calls


def latency_ms(times: Histogram) -> dict[str, float] | None:
    """Minimum, mean, percentiles and maximum in milliseconds; None without samples."""
    if not times.total:
        return None
    percentiles = {f"p{p:g}": seconds for p, seconds in zip(PERCENTILES, times.percentiles(), strict=True)}
    seconds = {"min": times.min, "mean": times.mean, **percentiles, "max": times.max}
    return {name: round(value * 1000, 4) for name, value in seconds.items()}


def packed(times: Histogram) -> str:
    """Buckets as text."""
    return packing.packed(deltas(times.counts))


def unpacked(text: str) -> dict[int, int]:
    """Bucket to number of samples, from what `packed` gave.

    Raises:
        ValueError: it is something else.
    """
    return buckets_of(packing.unpacked(text))


def times_of(event: Mapping[str, Json]) -> Histogram:
    """The times of a row as a report shows it (`event_of`)."""
    counts, times = unpacked(event["histogram"]), Histogram()
    if counts:
        low, mean, high = (event["latency_ms"][stat] * TICKS / 1000 for stat in ("min", "mean", "max"))
        total = sum(counts.values())
        times.add_counts(counts, total, round(mean * total), round(low), round(high))
    return times
