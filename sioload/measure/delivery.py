"""The delivery check: which numbered pushes a receiver never got, got twice, or got out of order.

A source numbers the pushes of each stream with consecutive whole numbers. A receiver owes nothing from before
the first one it got, and what the source sent after the last one it got can't be known here; between the two
every number is expected once. A number that is passed over counts as lost at once and is taken back when it
comes late, so that the counts are right at any moment and need no end.

That leaves silence unseen: of a receiver that never got anything, of one whose pushes stopped for good, of
one that came back from an outage without its subscription. `behind` finds what can be found of the last two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from sioload.measure.behind import SILENT, Comparison, Reached
from sioload.measure.names import NAME_LENGTH, OTHER, bounded

#: Gaps that one stream of one receiver remembers. When there are more, the oldest stay lost for good.
MAX_GAPS: Final = 64
#: Streams that one process follows, over all receivers. Pushes of further ones aren't checked, but counted.
MAX_TRACKS: Final = 200_000
#: Names of events whose pushes are told apart. A handler for all events lets the server choose them.
MAX_NAMES: Final = 200
#: How far below its first number a stream may still begin: the first pushes may have been reordered too.
_BEFORE_FIRST: Final = 64
#: Receivers that a survey looks at before it lets others run.
_AT_A_TIME: Final = 500
#: Numbers beyond can't be told apart once they have passed through JavaScript.
_MAX_NUMBER: Final = 1 << 53


@dataclass(slots=True)
class DeliveryCounts:
    """Pushes of one event, over all receivers and streams.

    Attributes:
        expected: numbers owed; always received + lost.
        received: distinct numbers that came.
        lost: numbers passed over while connected that never came.
        duplicated: arrivals of a number that had come before.
        reordered: numbers that came after a higher one.
        reconnect_gaps: numbers missed because the connection was down; these are not expected.
        unchecked: pushes that weren't followed, because there were more than `MAX_TRACKS` streams.
        behind: receivers that fell silent behind others of their stream; known where processes are merged.
    """

    expected: int = 0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    reconnect_gaps: int = 0
    unchecked: int = 0
    behind: int = 0

    def merge(self, other: DeliveryCounts) -> None:
        """Add all that other receivers counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def since(self, earlier: DeliveryCounts) -> DeliveryCounts:
        """What was counted after `earlier`, a former state; negative where a late push mended a loss.

        Receivers that are behind are those of now.
        """
        fresh = DeliveryCounts(*(getattr(self, name) - getattr(earlier, name) for name in self.__slots__))
        fresh.behind = self.behind
        return fresh

    def encode(self) -> dict[str, int]:
        """Plain values, for msgpack and reports."""
        return asdict(self)

    @classmethod
    def decode(cls, data: dict[str, int]) -> DeliveryCounts:
        """The counts that `encode` was called on."""
        return cls(**data)


class _Gap:
    """Numbers from `low` to below `high` that haven't come; `down` if the connection was down meanwhile."""

    __slots__ = ("down", "high", "low")

    def __init__(self, low: int, high: int, down: bool) -> None:
        self.low = low
        self.high = high
        self.down = down


class _Track:
    """One stream at one receiver: from its first to its highest number, all but the gaps have come."""

    __slots__ = ("_known", "_since", "down", "first", "gaps", "highest")

    def __init__(self, number: int) -> None:
        self.first = number
        self.highest = number
        self.gaps: list[_Gap] | None = None
        self.down = False
        self._known: int | None = None  # the highest number when a survey looked last
        self._since = 0.0  # when one first found that

    def silent(self, now: float) -> bool:
        """Whether nothing new came for `SILENT` seconds; surveys ask, now and then."""
        if self.highest != self._known:
            self._known = self.highest
            self._since = now
        return now - self._since >= SILENT

    def seen(self, number: int, counts: DeliveryCounts) -> None:
        if number == self.highest + 1:
            self.highest = number
            self.down = False
            counts.expected += 1
            counts.received += 1
        elif number > self.highest:
            self._leap(self.highest + 1, number, self.down, counts)
            self.highest = number
            self.down = False
            counts.expected += 1
            counts.received += 1
        elif self.first - _BEFORE_FIRST <= number < self.first:
            self._known = None
            self._leap(number + 1, self.first, False, counts)
            self.first = number
            counts.expected += 1
            counts.received += 1
            counts.reordered += 1
        else:
            self._known = None  # whatever this is, the receiver isn't silent
            if number < self.first or not self._fill(number, counts):
                counts.duplicated += 1

    def _leap(self, low: int, high: int, down: bool, counts: DeliveryCounts) -> None:
        missing = high - low
        if not missing:
            return
        if down:
            counts.reconnect_gaps += missing
        else:
            counts.lost += missing
            counts.expected += missing
        if self.gaps is None:
            self.gaps = []
        elif len(self.gaps) >= MAX_GAPS:
            del self.gaps[0]
        self.gaps.append(_Gap(low, high, down))

    def _fill(self, number: int, counts: DeliveryCounts) -> bool:
        """A number within the range came: take it out of its gap. False if it had come before."""
        gaps = self.gaps or []
        position = next((i for i, gap in enumerate(gaps) if gap.low <= number < gap.high), None)
        if position is None:
            return False
        gap = gaps[position]
        parts = [_Gap(gap.low, number, gap.down), _Gap(number + 1, gap.high, gap.down)]
        gaps[position : position + 1] = [part for part in parts if part.low < part.high]
        if len(gaps) > MAX_GAPS:
            del gaps[0]
        if gap.down:
            counts.reconnect_gaps -= 1
            counts.expected += 1
        else:
            counts.lost -= 1
        counts.received += 1
        counts.reordered += 1
        return True


class Receiver:
    """One connection's view of its streams; made by `Delivery.receiver`."""

    __slots__ = ("_delivery", "_resets", "_tracks")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._resets = delivery.resets
        self._tracks: dict[tuple[str, Hashable], _Track] = {}

    def seen(self, name: str, stream: Hashable, number: int) -> None:
        """A push came.

        Args:
            name: its row's name.
            stream: what the number counts in; any hashable value.
            number: a whole number, one higher than that of the push which the source sent before.

        Raises:
            TypeError: the stream can't be hashed.
            ValueError: the number isn't a whole one below 2**53.
        """
        if number.__class__ is not int or not -_MAX_NUMBER < number < _MAX_NUMBER:
            raise ValueError(f"delivery needs a whole number, not {number!r:.40}")
        if len(name) > NAME_LENGTH:
            name = bounded(name)
        if self._resets != self._delivery.resets:
            self._tracks.clear()
            self._resets = self._delivery.resets
        counts = self._delivery.of(name)
        track = self._tracks.get((name, stream))
        if track is not None:
            track.seen(number, counts)
        elif self._delivery.tracks >= MAX_TRACKS:
            counts.unchecked += 1
        else:
            self._tracks[name, stream] = _Track(number)
            self._delivery.receivers.add(self)
            self._delivery.tracks += 1
            counts.expected += 1
            counts.received += 1

    def reconnected(self) -> None:
        """The connection (or its namespace, or room) was lost and is back: the next gap is the outage's."""
        for track in self._tracks.values():
            track.down = True

    def close(self) -> None:
        """The receiver is gone: what it counted stays, what it remembers is freed. Repeatable."""
        if self._resets == self._delivery.resets:
            self._delivery.tracks -= len(self._tracks)
        self._tracks.clear()
        self._delivery.receivers.discard(self)

    def tracks(self) -> list[tuple[tuple[str, Hashable], _Track]]:
        """The streams that it follows now."""
        return list(self._tracks.items()) if self._resets == self._delivery.resets else []


class Delivery:
    """The delivery check of one process.

    Attributes:
        counts: row name to its counts.
        resets: how often the counts were forgotten.
        tracks: streams followed now, over all receivers.
        receivers: those that follow any.
        comparison: of all streams, as the last survey saw them.
    """

    __slots__ = ("_reached", "_surveys", "comparison", "counts", "receivers", "resets", "tracks")

    def __init__(self) -> None:
        self.counts: dict[str, DeliveryCounts] = {}
        self.resets = 0
        self.tracks = 0
        self.receivers: set[Receiver] = set()
        self.comparison = Comparison()
        self._reached: dict[tuple[str, Hashable], Reached] = {}
        self._surveys = 0

    def survey(self, now: float) -> Iterator[None]:
        """Look which receivers have fallen silent, at `now` (monotonic seconds).

        To be gone through to its end once a second or so. Between its steps others may run, even another
        survey, which is then the one that counts.
        """
        self._surveys += 1
        survey, resets = self._surveys, self.resets
        highest: dict[tuple[str, Hashable], int] = {}
        silent: dict[tuple[str, Hashable], dict[int, int]] = {}
        for looked_at, receiver in enumerate(list(self.receivers), 1):
            for key, track in receiver.tracks():
                number = track.highest
                highest[key] = max(number, highest.get(key, number))
                if track.silent(now):
                    counts = silent.setdefault(key, {})
                    counts[number] = counts.get(number, 0) + 1
            if looked_at % _AT_A_TIME == 0:
                yield
                if (survey, resets) != (self._surveys, self.resets):
                    return
        self._reached = {key: self._reached.get(key) or Reached(*key) for key in highest}
        self.comparison = Comparison()
        for key, number in highest.items():
            reached = self._reached[key]
            reached.feed(now, number)
            before = reached.before(now)
            if before is not None:
                name = key[0] if key[0] in self.counts else OTHER
                self.comparison.add(name, reached.digest, before, silent.get(key, {}))

    def receiver(self) -> Receiver:
        """The view of one connection; it lives as long as its user, over reconnects."""
        return Receiver(self)

    def of(self, name: str) -> DeliveryCounts:
        """The counts of a row name."""
        counts = self.counts.get(name)
        return counts if counts is not None else counts_of(self.counts, bounded(name))

    def reset(self) -> None:
        """Forget everything, in place: to all receivers, the next push of a stream is its first."""
        self.counts.clear()
        self.resets += 1
        self.tracks = 0
        self.receivers.clear()
        self.comparison = Comparison()
        self._reached.clear()


def counts_of(table: dict[str, DeliveryCounts], name: str) -> DeliveryCounts:
    """The counts of a name, made on first use; those that come too late share one."""
    if name not in table and len(table) >= MAX_NAMES - 1:
        name = OTHER
    return table.setdefault(name, DeliveryCounts())
