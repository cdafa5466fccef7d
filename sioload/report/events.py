"""One row in the report: its counts, its times, its failures."""

from __future__ import annotations

import base64
import binascii
import zlib

from sioload.measure.histogram import PERCENTILES, Histogram
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


def latency_ms(times: Histogram) -> dict[str, float] | None:
    """Minimum, mean, percentiles and maximum in milliseconds; None without samples."""
    if not times.total:
        return None
    percentiles = {f"p{p:g}": seconds for p, seconds in zip(PERCENTILES, times.percentiles(), strict=True)}
    seconds = {"min": times.min, "mean": times.mean, **percentiles, "max": times.max}
    return {name: round(value * 1000, 4) for name, value in seconds.items()}


def packed(times: Histogram) -> str:
    """Buckets as text: base64 of deflated varints, for each bucket the distance to the last and the count."""
    data = bytearray()
    before = 0
    for index, count in sorted(times.counts.items()):
        for number in (index - before, count):
            while number > 127:
                data.append(number & 127 | 128)
                number >>= 7
            data.append(number)
        before = index
    return base64.b64encode(zlib.compress(bytes(data))).decode("ascii") if data else ""


def unpacked(text: str) -> dict[int, int]:
    """Bucket to number of samples, from what `packed` gave.

    Raises:
        ValueError: it is something else.
    """
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True)) if text else b""
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"no histogram: {text[:40]!r}") from error
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    found: dict[int, int] = {}
    index = 0
    for gap, count in zip(numbers[::2], numbers[1::2], strict=True):
        index += gap
        found[index] = count
    return found
