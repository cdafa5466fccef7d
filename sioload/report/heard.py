"""What became of messages and their audiences, as figures: of a run, or of a part of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from sioload.measure.histogram import Histogram
from sioload.measure.names import clean_name
from sioload.measure.rooms import value_of
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report.events import latency_ms

TYPE: Final = "FANOUT"
#: What is counted of messages, in the order of `Heard`; and as reports show it, with those who missed one.
COUNTS: Final = ("messages", "owed", "reached", "strays", "duplicates", "late", "unjudged")
SHOWN: Final = (*COUNTS[:3], "missed", *COUNTS[3:])
#: Messages that a report names, those which most members missed.
WORST: Final = 10


@dataclass(frozen=True, slots=True)
class Worst:
    """A message that `missed` of `of` members didn't get; when it first came."""

    missed: int
    of: int
    room: str
    id: str
    first: float


@dataclass(slots=True)
class Heard:
    """All messages of one name, or those of a part of the run.

    Attributes:
        messages: those that were judged and owed to somebody.
        owed, reached: to how many members in all, and how many of these got it.
        strays: members who got one and weren't in its room.
        duplicates: arrivals at a member who had it already.
        late: arrivals of what was judged before, or was old when it first came.
        unjudged: messages about which the run ended too early.
        fanout: times until the last of the audience had it.
        spread: times from the first arrival to the last.
        worst: messages that most members missed.
    """

    messages: int = 0
    owed: int = 0
    reached: int = 0
    strays: int = 0
    duplicates: int = 0
    late: int = 0
    unjudged: int = 0
    fanout: Totals = field(default_factory=lambda: Totals(TYPE, ""))
    spread: Histogram = field(default_factory=Histogram)
    worst: list[Worst] = field(default_factory=list)

    @property
    def missed(self) -> int:
        """Members who were owed a message that they didn't get."""
        return self.owed - self.reached

    def counts(self) -> dict[str, int]:
        """What the report shows as numbers."""
        return {name: getattr(self, name) for name in SHOWN}

    def merge(self, other: Heard) -> None:
        """Add all that was counted elsewhere."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fanout.merge(other.fanout)
        self.spread.merge(other.spread)
        self.worst = worst_of([*self.worst, *other.worst])

    def since(self, earlier: Heard) -> Heard:
        """What was counted after `earlier`, a former state."""
        fresh = Heard(*(getattr(self, name) - getattr(earlier, name) for name in COUNTS))
        fresh.fanout, fresh.spread = self.fanout.since(earlier.fanout), self.spread.since(earlier.spread)
        fresh.worst = [each for each in self.worst if each not in earlier.worst]
        return fresh


def worst_of(found: list[Worst]) -> list[Worst]:
    """Those that most members missed, as many as are named; the earlier first of two alike."""
    return sorted(found, key=lambda each: (-each.missed, each.first, each.room, each.id))[:WORST]


@dataclass(frozen=True, slots=True)
class AudienceFigures:
    """The audiences of a run, or of a part of it; for reading only.

    Attributes:
        parts: when a part of the run begins, to the messages whose last arrival was in it, by name.
        share: of all messages, those that were followed.
        settled: what was last heard until then is judged; swarm clock.
    """

    parts: Mapping[float, Mapping[str, Heard]] = field(default_factory=dict)
    share: float = 1.0
    settled: float = math.inf

    def names(self) -> dict[str, Heard]:
        """Name to its messages."""
        found: dict[str, Heard] = {}
        for part in self.parts.values():
            for name, heard in part.items():
                found.setdefault(name, Heard(fanout=Totals(TYPE, name))).merge(heard)
        return found

    def between(self, begin: float, end: float) -> AudienceFigures:
        """Those of the part of the run between two boundaries."""
        parts = {at: part for at, part in self.parts.items() if begin <= at < end}
        return AudienceFigures(parts, self.share, self.settled)

    def since(self, earlier: AudienceFigures) -> AudienceFigures:
        """What was counted after `earlier`, a former state."""
        before, none = earlier.names(), Heard()
        fresh = {name: heard.since(before.get(name, none)) for name, heard in self.names().items()}
        return AudienceFigures({-math.inf: fresh}, self.share, self.settled)

    def rows(self) -> list[Totals]:
        """The FANOUT rows."""
        return [heard.fanout for heard in self.names().values() if heard.fanout.count]

    def document(self) -> list[dict[str, Json]]:
        """As the report has them."""
        return [
            {
                "name": name,
                **heard.counts(),
                "share": self.share,
                "spread_ms": latency_ms(heard.spread),
                "worst": [
                    {"room": shown(each.room), "id": shown(each.id), "missed": each.missed, "of": each.of}
                    for each in heard.worst
                ],
            }
            for name, heard in sorted(self.names().items())
        ]


def shown(key: str) -> str:
    """A room or an identity as reports show it: as text, escaped and cut as the names of events are."""
    value = value_of(key)
    return clean_name(value if isinstance(value, str) else orjson.dumps(value).decode())
