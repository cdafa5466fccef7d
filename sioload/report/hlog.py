"""Export to the HdrHistogram log format, for the tools that read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from hdrh.histogram import HdrHistogram

from sioload.measure.histogram import HIGHEST, LAST, TICKS, Histogram, value
from sioload.measure.rows import Totals
from sioload.report.document import UNVERIFIED

_NANOSECONDS = 1_000_000_000
_HIGHEST = HIGHEST * (_NANOSECONDS // TICKS)


def hlog(rows: Iterable[Totals], *, started: float, duration: float, unverified: bool = False) -> str:
    """A log with one tagged histogram, over the whole run, for each row that carries times.

    Values are in nanoseconds, as HdrHistogram's tools expect; the interval's maximum is in milliseconds. The
    tag is `TYPE:name`, and `TYPE.service:name` for service times, with what the format can't hold
    percent-encoded.

    Args:
        rows: merged rows.
        started: seconds since the epoch.
        duration: seconds.
        unverified: any certificate was accepted.
    """
    stamp = datetime.fromtimestamp(started, UTC).isoformat(" ", "milliseconds")
    lines = [
        "#[Histogram log format version 1.3]",
        *([f"#[{UNVERIFIED}]"] if unverified else []),
        f"#[BaseTime: {started:.3f} (seconds since epoch)]",
        f"#[StartTime: {started:.3f} (seconds since epoch), {stamp}]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for tag, times in _tagged(rows):
        payload = hdr_histogram(times).encode().decode("ascii")
        lines.append(f"Tag={tag},0.000,{duration:.3f},{times.max * 1000:.4f},{payload}")
    return "\n".join(lines) + "\n"


def _tagged(rows: Iterable[Totals]) -> Iterator[tuple[str, Histogram]]:
    for row in rows:
        name = quote(row.name, safe="/()*>-_.@:")
        type = quote(row.type, safe="/()*>-_.@")  # other clients choose theirs
        if row.times.total:
            yield f"{type}:{name}", row.times
        if row.service is not None:
            yield f"{type}.service:{name}", row.service


def hdr_histogram(times: Histogram) -> HdrHistogram:
    """The same samples as an HdrHistogram with three significant digits, in nanoseconds."""
    exported = HdrHistogram(1, _HIGHEST, 3)
    for index, n in times.counts.items():
        seconds = times.max if index == LAST else min(max(value(index), times.min), times.max)
        exported.record_value(max(1, round(seconds * _NANOSECONDS)), n)
    return exported
