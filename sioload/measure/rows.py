"""One row of statistics per row type and name: what Locust's table, the reports, checks and metrics all show.

Samples enter a row's running second with as little work as possible (they arrive in the event loop, tens of
thousands a second) and move into its totals once a second, when the same numbers are handed to Locust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sioload.measure.histogram import HIGHEST, LAST, LINEAR, TICKS, TOP, Histogram, bucket, locust_times
from sioload.measure.names import counted_since, normalise
from sioload.plain import Json

#: Distinct error messages of a row; the rest are counted under `OTHER_ERRORS`.
MAX_ERRORS: Final = 50
OTHER_ERRORS: Final = "(other errors)"
#: What those of more kinds than that are, as OpenTelemetry calls it.
OTHER_KIND: Final = "_OTHER"
#: What `Totals.encode` would give of a row, before there is one.
_NOTHING: Final[dict[str, Json]] = {
    "times": None, "service": None, "untimed": 0, "errors": {}, "failed": {}, "skipped": 0, "unfinished": 0,
    "bytes": 0,
}  # fmt: skip


@dataclass(slots=True)
class Delta:
    """What a row counted since it was last asked, for one update of Locust's statistics."""

    type: str
    name: str
    counts: dict[int, int] = field(default_factory=dict)
    timed: int = 0
    untimed: int = 0
    sum_ticks: int = 0
    min_ticks: int = HIGHEST
    max_ticks: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    @property
    def count(self) -> int:
        """All samples, failures among them."""
        return self.timed + self.untimed

    @property
    def failures(self) -> int:
        return sum(self.errors.values())

    @property
    def sum_ms(self) -> float:
        return self.sum_ticks * 1000 / TICKS

    @property
    def min_ms(self) -> float | None:
        """None when no sample carries a time."""
        return self.min_ticks * 1000 / TICKS if self.timed else None

    @property
    def max_ms(self) -> float:
        return self.max_ticks * 1000 / TICKS

    def locust_times(self) -> dict[float | int, int]:
        """Rounded milliseconds to number of samples, as in Locust's `StatsEntry.response_times`."""
        return locust_times(self.counts, self.max_ms)


class Totals:
    """Everything a row counted, in a form that merges exactly.

    Attributes:
        untimed: samples without a time (failures without one among them).
        errors: normalised message to number of failures.
        failed: kind to the times of such failures, of `times`.
        notes: message to what is told of the first such failure.
        skipped: starts that a schedule or pacing could not begin.
        unfinished: waits that ended with their user, neither successes nor failures.
        bytes: length of what was received for the samples.
        service: service times of paced samples, beside their times from the intended start; None if none.
    """

    __slots__ = ("bytes", "errors", "failed", "name", "notes", "service", "skipped", "times", "type",
                 "unfinished", "untimed")  # fmt: skip

    def __init__(self, type: str, name: str) -> None:
        self.type = type
        self.name = name
        self.times = Histogram()
        self.service: Histogram | None = None
        self.untimed = 0
        self.errors: dict[str, int] = {}
        self.failed: dict[str, Histogram] = {}
        self.notes: dict[str, str] = {}
        self.skipped = self.unfinished = 0
        self.bytes = 0

    @property
    def count(self) -> int:
        """All samples, failures among them."""
        return self.times.total + self.untimed

    @property
    def failures(self) -> int:
        return sum(self.errors.values())

    @property
    def fail_ratio(self) -> float:
        """Failures over samples, from 0 to 1."""
        return self.failures / self.count if self.count else 0.0

    def failed_of(self, kind: str) -> Histogram:
        """The times of failures of a kind, to be added to; of a bounded number of kinds."""
        if kind not in self.failed:
            if len(self.failed) >= MAX_ERRORS:
                kind = OTHER_KIND
            self.failed.setdefault(kind, Histogram())
        return self.failed[kind]

    def merge(self, other: Totals) -> None:
        """Add all that another row counted; `bound_errors` cuts errors back to the most frequent ones."""
        self.times.merge(other.times)
        if other.service is not None:
            self.service = self.service or Histogram()
            self.service.merge(other.service)
        self.untimed += other.untimed
        self.skipped += other.skipped
        self.unfinished += other.unfinished
        self.bytes += other.bytes
        for text, n in other.errors.items():
            self.errors[text] = self.errors.get(text, 0) + n
        for kind, times in other.failed.items():
            self.failed_of(kind).merge(times)
        self.notes = {**other.notes, **self.notes}

    def merge_encoded(self, row: dict[str, Json], before: dict[str, Json] | None = None) -> None:
        """Add a row as it came: what `merge(Totals.decode(row))` does, in half the time.

        Args:
            row: what its `encode` gave.
            before: what that had given when the row was added before: only what changed since is touched.
        """
        had = _NOTHING if before is None else before
        self.times.merge_encoded(row["times"], had["times"])
        if row["service"] is not None:
            self.service = self.service or Histogram()
            self.service.merge_encoded(row["service"], had["service"])
        self.untimed += row["untimed"] - had["untimed"]
        self.skipped += row["skipped"] - had["skipped"]
        self.unfinished += row["unfinished"] - had["unfinished"]
        self.bytes += row["bytes"] - had["bytes"]
        for text, n in row["errors"].items():
            if more := n - had["errors"].get(text, 0):
                self.errors[text] = self.errors.get(text, 0) + more
        for kind, times in row["failed"].items():
            self.failed_of(kind).merge_encoded(times, had["failed"].get(kind))
        if row["notes"]:
            self.notes = {**row["notes"], **self.notes}

    def since(self, earlier: Totals) -> Totals:
        """What was counted after `earlier`, a former state of these. Min and max are known to the bucket."""
        fresh = Totals(self.type, self.name)
        fresh.times = self.times.since(earlier.times)
        if self.service is not None:
            fresh.service = self.service.since(earlier.service or Histogram())
        fresh.untimed, fresh.bytes = self.untimed - earlier.untimed, self.bytes - earlier.bytes
        fresh.skipped, fresh.unfinished = self.skipped - earlier.skipped, self.unfinished - earlier.unfinished
        fresh.errors = counted_since(self.errors, earlier.errors, OTHER_ERRORS)
        for kind, times in self.failed.items():
            fresh.failed[kind] = times.since(earlier.failed.get(kind, Histogram()))
        fresh.notes = {text: note for text, note in self.notes.items() if text not in earlier.notes}
        return fresh

    def copy(self) -> Totals:
        """The same totals, which don't grow any more."""
        twin = Totals(self.type, self.name)
        twin.times = self.times.copy()
        twin.service = None if self.service is None else self.service.copy()
        twin.untimed, twin.skipped, twin.bytes = self.untimed, self.skipped, self.bytes
        twin.unfinished = self.unfinished
        twin.errors, twin.notes = dict(self.errors), dict(self.notes)
        twin.failed = {kind: times.copy() for kind, times in self.failed.items()}
        return twin

    def bound_errors(self) -> None:
        """Keep the `MAX_ERRORS` most frequent messages and count the rest under one name."""
        if len(self.errors) <= MAX_ERRORS:
            return
        other = self.errors.pop(OTHER_ERRORS, 0)
        ranked = sorted(self.errors.items(), key=lambda item: (-item[1], item[0]))
        self.errors = dict(ranked[:MAX_ERRORS])
        self.notes = {text: note for text, note in self.notes.items() if text in self.errors}
        other += sum(n for _, n in ranked[MAX_ERRORS:])
        if other:
            self.errors[OTHER_ERRORS] = other

    def encode(self) -> dict[str, Json]:
        """These totals in plain values, for msgpack."""
        service = None if self.service is None else self.service.encode()
        return {"type": self.type, "name": self.name, "times": self.times.encode(), "service": service,
                "untimed": self.untimed, "errors": dict(self.errors), "notes": dict(self.notes),
                "failed": {kind: times.encode() for kind, times in self.failed.items()},
                "skipped": self.skipped, "unfinished": self.unfinished, "bytes": self.bytes}  # fmt: skip

    @classmethod
    def decode(cls, data: dict[str, Json]) -> Totals:
        """The totals that `encode` was called on."""
        totals = cls(data["type"], data["name"])
        totals.times = Histogram.decode(data["times"])
        totals.service = None if data["service"] is None else Histogram.decode(data["service"])
        totals.untimed, totals.skipped, totals.bytes = data["untimed"], data["skipped"], data["bytes"]
        totals.unfinished = data["unfinished"]
        totals.errors, totals.notes = dict(data["errors"]), dict(data["notes"])
        totals.failed = {kind: Histogram.decode(times) for kind, times in data["failed"].items()}
        return totals


#: See `Row.about`.
About = tuple[Callable[[], Any] | None, int, Exception | None] | None
#: Called with a row, the seconds of a sample (None: untimed), and the message of a failure.
SampleListener = Callable[["Row", float | None, str | None], None]


class Row:
    """One live row. `add`, `tick` and `fail` may be called from the event loop; none of them blocks.

    Attributes:
        type, name: as shown.
        skipped: starts that could not begin; the caller adds to it.
        unfinished: waits that ended with their user; the caller adds to it.
        bytes: length of what was received; the caller adds to it.
        tap: who hears of each sample, None when nobody does.
        about: what `tap` is told of the next sample: whose context holds (a function that gives it), how many
            bytes came, and its exception. Set it right before, and only when there is a tap: see `note`.
    """

    __slots__ = ("_bytes", "_counts", "_errors", "_max", "_min", "_pending", "_sum", "_totals",
                 "_untimed", "about", "bytes", "name", "skipped", "tap", "type",
                 "unfinished")  # fmt: skip

    def __init__(self, type: str, name: str, tap: SampleListener | None = None) -> None:
        self.type = type
        self.name = name
        self.tap = tap
        self.about: About = None
        self.reset()

    def reset(self) -> None:
        """Forget everything counted, in place: callers keep their rows."""
        self.skipped = self.unfinished = 0
        self.bytes = self._bytes = 0
        self._totals = Totals(self.type, self.name)
        self._pending: Delta | None = None
        self._counts: list[int] = []  # by bucket, once a sample has a time: 28 KiB
        self._clear()

    def _clear(self) -> None:
        self._errors: dict[str, int] = {}
        self._untimed = self._sum = self._max = 0
        self._min = HIGHEST

    def note(self, owner: object, size: int = 0, error: Exception | None = None) -> None:
        """Tell the tap, if there is one, more of the next sample.

        Args:
            owner: the user, or None; its `context()` is asked for later, in a greenlet.
            size: bytes of what was received.
            error: what a failure raised.
        """
        if self.tap is not None:
            self.about = (getattr(owner, "context", None), size, error)

    def add(self, seconds: float) -> None:
        """Count a success that took a time; a negative one (clocks differ) counts as 0.

        Raises:
            ValueError, OverflowError: the time isn't finite.
        """
        self._time(seconds)
        if self.tap is not None:
            self.tap(self, max(seconds, 0.0), None)

    def _time(self, seconds: float) -> None:
        ticks = int(seconds * 1e7)
        if LINEAR <= ticks < TOP:
            # `bucket`, written out: this runs for each sample.
            exponent = ticks.bit_length() - 8
            index = (exponent << 7) + (ticks >> exponent)
        else:
            ticks = min(max(ticks, 0), HIGHEST)
            index = bucket(ticks)
        counts = self._counts
        if not counts:
            self._counts = counts = [0] * (LAST + 1)
        counts[index] = counts[index] + 1  # compiled, += is slower on an item
        self._sum += ticks
        if ticks > self._max:
            self._max = ticks
        if ticks < self._min:
            self._min = ticks

    def tick(self, n: int = 1) -> None:
        """Count successes that carry no time."""
        self._untimed += n
        if self.tap is not None:
            for _ in range(n):
                self.tap(self, None, None)

    def fail(
        self,
        message: str,
        seconds: float | None = None,
        note: Callable[[], str] | None = None,
        kind: str = "error",
    ) -> None:
        """Count a failure.

        Args:
            message: what it was.
            seconds: the time that passed until it was known, if it carries one.
            note: called for the first failure with this message: what else helps to find its cause.
            kind: of a small closed set, where it carries a time: by it, times of failures are told apart.
        """
        if seconds is None:
            self._untimed += 1
        else:
            self._time(seconds)
            self._totals.failed_of(kind).add(seconds)
        text = normalise(message)
        if self.tap is not None:
            self.tap(self, seconds, text)
        errors = self._totals.errors
        if text not in errors and len(errors) >= MAX_ERRORS:
            text = OTHER_ERRORS
        elif note is not None and text not in errors:
            self._totals.notes[text] = note()
        errors[text] = errors.get(text, 0) + 1
        self._errors[text] = self._errors.get(text, 0) + 1

    def service(self, seconds: float) -> None:
        """Count the service time of a paced sample, beside its time from the intended start."""
        if self._totals.service is None:
            self._totals.service = Histogram()
        self._totals.service.add(seconds)

    def totals(self) -> Totals:
        """Everything counted so far; the same object each time, still growing."""
        self._settle()
        return self._totals

    def take(self) -> Delta | None:
        """What was counted since the last call, or None if nothing was."""
        self._settle()
        delta, self._pending = self._pending, None
        if delta is not None:
            delta.bytes = self.bytes - self._bytes
            self._bytes = self.bytes
        return delta

    def _settle(self) -> None:
        """Move the running second into the totals and into what `take` returns next."""
        totals = self._totals
        totals.skipped, totals.bytes, totals.unfinished = self.skipped, self.bytes, self.unfinished
        counts: dict[int, int] = {}
        if self._min <= self._max:
            for i in range(bucket(self._min), bucket(self._max) + 1):
                if n := self._counts[i]:
                    counts[i] = n
                    self._counts[i] = 0
        timed = sum(counts.values())
        if not (timed or self._untimed):
            return
        totals.times.add_counts(counts, timed, self._sum, self._min, self._max)
        totals.untimed += self._untimed
        delta = self._pending
        if delta is None:
            # The next second begins new dicts, so these can be given away.
            delta = self._pending = Delta(self.type, self.name, counts, errors=self._errors)
        else:
            for i, n in counts.items():
                delta.counts[i] = delta.counts.get(i, 0) + n
            for text, n in self._errors.items():
                delta.errors[text] = delta.errors.get(text, 0) + n
        delta.timed += timed
        delta.untimed += self._untimed
        delta.sum_ticks += self._sum
        delta.min_ticks = min(delta.min_ticks, self._min)
        delta.max_ticks = max(delta.max_ticks, self._max)
        self._clear()
