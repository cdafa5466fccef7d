"""The few buckets of histograms as Prometheus and OpenTelemetry have them, counted from the many of ours."""

from __future__ import annotations

import math
from typing import Final

from sioload.measure.histogram import LAST, TICKS, Histogram, bucket, value


def _bounds() -> list[int]:
    """Upper bounds in ticks: four to a doubling from 0.8 ms to 105 ms, two elsewhere from 51 us to 76 s.

    Each is the first tick of a bucket of ours, so that counts are exact.
    """
    found = []
    for octave in range(9, 30):
        steps = (128, 152, 181, 215) if 13 <= octave <= 19 else (128, 181)
        found += [step << octave - 7 for step in steps]
    return found


#: Each bound as the first bucket of ours that lies above it, and in seconds as Prometheus's label `le`.
BOUNDS: Final = [(bucket(ticks), repr(ticks / TICKS)) for ticks in _bounds()]


def cumulative(times: Histogram) -> list[tuple[str, int]]:
    """Number of samples below each bound, by the label `le`; the last is `+Inf`."""
    found: list[tuple[str, int]] = []
    reached = 0
    filled = iter(sorted(times.counts.items()))
    pending = next(filled, None)
    for first, label in BOUNDS:
        while pending is not None and pending[0] < first:
            reached += pending[1]
            pending = next(filled, None)
        found.append((label, reached))
    return [*found, ("+Inf", times.total)]


def exponential(times: Histogram, scale: int) -> tuple[int, int, list[int]]:
    """The buckets of OpenTelemetry's exponential histogram: bounds are powers of 2 ** (2 ** -scale) seconds.

    Each of our buckets, which are finer, goes where its midpoint lies; the last, which has no end, where the
    longest time does.

    Returns:
        Samples that took no tick, the number of the first bucket, and the counts from there on.
    """
    found: dict[int, int] = {}
    zeros = 0
    for index, n in times.counts.items():
        if index == 0:
            zeros += n
            continue
        seconds = times.max if index == LAST else min(max(value(index), times.min), times.max)
        number = math.ceil(math.log2(seconds) * 2**scale) - 1
        found[number] = found.get(number, 0) + n
    if not found:
        return zeros, 0, []
    first = min(found)
    return zeros, first, [found.get(number, 0) for number in range(first, max(found) + 1)]
