"""A histogram of times that merges exactly: logarithmic buckets over ticks of 100 nanoseconds.

Up to 255 ticks a bucket is one tick wide. Above, each doubling of the value is split into 128 buckets, so a
bucket is at most 1/128 of its value wide and its midpoint at most 0.4 % off. From 10 us (100 ticks) to 10
minutes the relative error is therefore 0.5 % or less. Only whole numbers of ticks and samples are kept, so
the merge of histograms doesn't depend on order and equals the histogram of all samples.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from sioload.plain import Json

_native: Any = None
try:
    from sioload.measure import _counts

    _native = _counts
except ImportError:
    pass

#: Ticks in a second.
TICKS: Final = 10_000_000
#: Before anything was encoded.
_NOTHING: Final[dict[str, Json]] = {"buckets": b"", "counts": b"", "sum": 0}
#: Values below have a bucket each.
LINEAR: Final = 256
#: The first tick of the last bucket, just beyond 10 minutes; everything above falls into it too.
TOP: Final = 179 << 25
#: Ticks that min, max and sum can show: 3.8 hours. A wild stamp can't make the sum outgrow 64 bits.
HIGHEST: Final = 1 << 37
#: A percentile is known to one part in so many.
_PARTS: Final = 1_000_000_000
#: The percentiles of every report.
PERCENTILES: tuple[float, ...] = (50.0, 90.0, 95.0, 99.0, 99.9)


def bucket(ticks: int) -> int:
    """The bucket of a value in ticks; below 0 is 0, and all beyond 10 minutes share the last bucket."""
    if ticks < LINEAR:
        return ticks if ticks > 0 else 0
    if ticks > TOP:
        ticks = TOP
    exponent = ticks.bit_length() - 8
    return (exponent << 7) + (ticks >> exponent)


def index(seconds: float) -> int:
    """The bucket of a time in seconds.

    Raises:
        ValueError, OverflowError: the time isn't finite.
    """
    return bucket(int(seconds * TICKS))


#: The last bucket.
LAST: Final = bucket(TOP)


def tick_bounds(bucket_index: int) -> tuple[int, int]:
    """The first tick of a bucket and the first tick behind it."""
    if bucket_index < LINEAR:
        return bucket_index, bucket_index + 1
    exponent = (bucket_index >> 7) - 1
    mantissa = bucket_index - (exponent << 7)
    return mantissa << exponent, (mantissa + 1) << exponent


def value(bucket_index: int) -> float:
    """The midpoint of a bucket in seconds."""
    low, high = tick_bounds(bucket_index)
    return (low + high) / (2 * TICKS)


def longest(bucket_index: int, max_ticks: int) -> int:
    """The most ticks that a sample of a bucket can have had, where none had more than `max_ticks`."""
    return max_ticks if bucket_index >= LAST else min(tick_bounds(bucket_index)[1] - 1, max_ticks)


def round_ms(ms: float) -> float | int:
    """Milliseconds as a key of Locust's response time tables.

    Locust keeps whole milliseconds below 100 and two significant digits above, which shows all that is fast
    as 0. Below 10 ms this keeps steps of 0.1 ms; above it equals Locust's own rounding.
    """
    if ms < 10:
        return round(ms, 1)
    if ms < 100:
        return round(ms)
    if ms < 1000:
        return int(round(ms, -1))
    if ms < 10_000:
        return int(round(ms, -2))
    return int(round(ms, -3))


@lru_cache(maxsize=4096)
def locust_key(bucket_index: int) -> float | int:
    """A bucket's, in those tables."""
    return round_ms(value(bucket_index) * 1000)


def locust_times(counts: Mapping[int, int], max_ms: float) -> dict[float | int, int]:
    """Such a table of samples by bucket, the longest of which took `max_ms`."""
    times: dict[float | int, int] = {}
    for i, n in counts.items():
        key = locust_key(i) if i < LAST else round_ms(max_ms)
        times[key] = times.get(key, 0) + n
    return times


class Histogram:
    """Times of one kind. Merging is exact: it adds bucket counts.

    Attributes:
        counts: bucket index to number of samples; only buckets that hold some.
        total: number of samples.
        sum_ticks, min_ticks, max_ticks: over all samples, in ticks of 100 ns; 0 when there are none.
    """

    __slots__ = ("counts", "max_ticks", "min_ticks", "sum_ticks", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0
        self.sum_ticks = 0
        self.min_ticks = 0
        self.max_ticks = 0

    def add(self, seconds: float, n: int = 1) -> None:
        """Count a time `n` times. `Row.add` is the faster way for single samples.

        Raises:
            ValueError, OverflowError: the time isn't finite.
        """
        ticks = min(max(int(seconds * TICKS), 0), HIGHEST)
        self.add_counts({bucket(ticks): n}, n, ticks * n, ticks, ticks)

    def add_counts(
        self, counts: dict[int, int], total: int, sum_ticks: int, min_ticks: int, max_ticks: int
    ) -> None:
        """Add samples that are counted already."""
        if not total:
            return
        add_to(self.counts, counts)
        self.min_ticks = min(self.min_ticks, min_ticks) if self.total else min_ticks
        self.max_ticks = max(self.max_ticks, max_ticks)
        self.total += total
        self.sum_ticks += sum_ticks

    def merge(self, other: Histogram) -> None:
        """Add all samples of another histogram."""
        self.add_counts(other.counts, other.total, other.sum_ticks, other.min_ticks, other.max_ticks)

    def copy(self) -> Histogram:
        """A histogram of the same samples that changes apart."""
        twin = Histogram()
        twin.counts, twin.total, twin.sum_ticks = dict(self.counts), self.total, self.sum_ticks
        twin.min_ticks, twin.max_ticks = self.min_ticks, self.max_ticks
        return twin

    def since(self, earlier: Histogram) -> Histogram:
        """The samples that came after `earlier`, a former state of this histogram.

        Counts and mean are exact. Min and max are known to the bucket only, unless there was nothing before.
        """
        if not earlier.total:
            return self.copy()
        counts = {i: more for i, n in self.counts.items() if (more := n - earlier.counts.get(i, 0)) > 0}
        fresh = Histogram()
        if counts:
            low, high = tick_bounds(min(counts))[0], longest(max(counts), self.max_ticks)
            total = sum(counts.values())
            fresh.add_counts(counts, total, self.sum_ticks - earlier.sum_ticks, low, high)
        return fresh

    @property
    def min(self) -> float:
        """The least time in seconds, to the tick; 0 when there are no samples."""
        return self.min_ticks / TICKS

    @property
    def max(self) -> float:
        """The greatest time in seconds, to the tick (up to 3.8 hours); 0 when there are no samples."""
        return self.max_ticks / TICKS

    @property
    def mean(self) -> float:
        """The mean time in seconds; 0 when there are no samples."""
        return self.sum_ticks / (self.total * TICKS) if self.total else 0.0

    def percentile(self, percent: float) -> float:
        """The time in seconds that `percent` of the samples don't exceed (nearest rank); 0 if none."""
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Iterable[float] = PERCENTILES) -> list[float]:
        """Several percentiles in seconds, in the order asked for; see `percentile`."""
        wanted = list(percents)
        if not self.total:
            return [0.0] * len(wanted)
        # Ranks in whole numbers: 0.999 * 1000 in floats is a hair above 999 and would take the wrong sample.
        ranks = [max(1, -(-round(p * _PARTS) * self.total // (100 * _PARTS))) for p in wanted]
        found: dict[int, float] = {}
        pending = sorted(set(ranks), reverse=True)
        reached = 0
        for i in sorted(self.counts):
            reached += self.counts[i]
            while pending and pending[-1] <= reached:
                found[pending.pop()] = min(max(value(i), self.min), self.max) if i < LAST else self.max
        return [found[rank] for rank in ranks]

    def encode(self) -> dict[str, Json]:
        """This histogram in plain values, for msgpack; its buckets and counts as packed numbers."""
        return {
            "buckets": array("H", list(self.counts)).tobytes(),
            "counts": _packed(list(self.counts.values())),
            "sum": self.sum_ticks,
            "min": self.min_ticks,
            "max": self.max_ticks,
        }

    def merge_encoded(self, data: dict[str, Json], before: dict[str, Json] | None = None) -> None:
        """Add the samples of another histogram, which `encode` was called on.

        Args:
            data: what it gave.
            before: what it had given when that was added here: only what changed since is touched.
        """
        before = before or _NOTHING
        if data["counts"] == before["counts"] and data["buckets"] == before["buckets"]:
            return
        more = _add_changes(self.counts, data, before)
        self.min_ticks = min(self.min_ticks, data["min"]) if self.total else data["min"]
        self.max_ticks = max(self.max_ticks, data["max"])
        self.total += more
        self.sum_ticks += data["sum"] - before["sum"]

    @classmethod
    def decode(cls, data: dict[str, Json]) -> Histogram:
        """The histogram that `encode` was called on."""
        histogram = cls()
        histogram.counts = _decoded(data)
        histogram.total = sum(histogram.counts.values())
        histogram.sum_ticks, histogram.min_ticks, histogram.max_ticks = data["sum"], data["min"], data["max"]
        return histogram

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and all(
            getattr(self, name) == getattr(other, name)
            for name in ("counts", "total", "sum_ticks", "min_ticks", "max_ticks")
        )

    __hash__ = None  # type: ignore[assignment]


def _packed(counts: list[int]) -> bytes:
    """Four bytes a count, or eight where that isn't enough."""
    return array("I" if max(counts, default=0) < 1 << 32 else "Q", counts).tobytes()


def _decoded(data: dict[str, Json]) -> dict[int, int]:
    """Counts by bucket, from what `Histogram.encode` gave."""
    buckets, counts = array("H", data["buckets"]), data["counts"]
    return dict(zip(buckets, array("I" if len(counts) == 4 * len(buckets) else "Q", counts), strict=True))


def add_to(to: dict[int, int], more: dict[int, int]) -> None:
    """Add how many samples each bucket holds more; or whatever else is counted by key."""
    if _native is not None:
        _native.add(to, more)
        return
    for i, n in more.items():
        to[i] = to.get(i, 0) + n


def _add_changes(to: dict[int, int], data: dict[str, Json], before: dict[str, Json]) -> int:
    """Add how many samples more each bucket holds than `before` (both encoded); returns their sum."""
    buckets, counts, had = data["buckets"], data["counts"], before["counts"]
    same_width = len(had) * len(buckets) == len(counts) * len(before["buckets"])
    if _native is not None and same_width and buckets.startswith(before["buckets"]):
        # Dicts keep their order, so new buckets stand behind the known ones.
        return cast(int, _native.add_changes(to, buckets, counts, had))
    changes = _decoded(data)
    for i, n in _decoded(before).items():
        changes[i] = changes.get(i, 0) - n
    for i, more in changes.items():
        if more:
            to[i] = to.get(i, 0) + more
    return sum(changes.values())
