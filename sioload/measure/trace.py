"""What one user's connection said and heard, and the rows in which that was counted.

A bounded list that is filled in the event loop. It is taken a moment later, when the samples that belong to
a packet have come: those of what was received while it is handled, that of an emit when it was handed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sioload.measure.names import unlabelled
from sioload.measure.rows import Row
from sioload.socketio.reading import Reading

#: Entries that may wait to be taken, and bytes of their texts; more are counted as dropped.
ROOM: Final = 10_000
ROOM_BYTES: Final = 32 << 20
#: Seconds after which an entry is complete.
HOLD: Final = 0.25

#: Row types, and the packets that their samples come of.
_SENT: Final = {"EMIT": ("event", "garbage", "disconnect"), "UPGRADE": ("upgrade",)}
_RECEIVED: Final = {
    "OPEN": ("open",),
    "CONNECT": ("connect", "refusal"),
    "CALL": ("ack",),
    "REPLY": ("event", "attachment"),
    "PUSH": ("event", "attachment"),
    "RECV": ("event", "attachment", "refusal"),
    "WAIT": ("event", "attachment"),
    "HEARTBEAT": ("ping", "pong"),
}


NO_PACKET: Final = Reading("", "")


class Count(NamedTuple):
    """A sample: its row, its time in seconds (None without one), and the message of a failure."""

    type: str
    name: str
    seconds: float | None
    failure: str | None


@dataclass(slots=True)
class Entry:
    """One packet, or one sample that came of none.

    Attributes:
        at: when, in seconds of `perf_counter`.
        way: "sent", "received", or "" for a sample alone.
        transport: "polling", "websocket", or "".
        text: the packet's own text, or its bytes when it is binary.
        reading: the packet in words.
        counts: the samples that it gave.
    """

    at: float
    way: str = ""
    transport: str = ""
    text: str | bytes = ""
    reading: Reading = NO_PACKET
    counts: list[Count] = field(default_factory=list)


class Trace:
    """Follows one user.

    Attributes:
        user: its number.
        begun: when it was made, in seconds of `perf_counter`.
        dropped: entries that found no room.
        veiled: secrets are hidden in the texts.
    """

    def __init__(self, user: int, clock: Callable[[], float], veiled: bool = True) -> None:
        self.user = user
        self.dropped = 0
        self.veiled = veiled
        self.begun = clock()
        self._clock = clock
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._handled: list[Entry] = []  # what came last, in one frame or one body

    def sent(self, transport: str, text: str | bytes, reading: Reading) -> None:
        """A packet was sent."""
        self._add(Entry(self._clock(), "sent", transport, text, reading))

    def received(self, transport: str, packets: list[tuple[str | bytes, Reading]]) -> None:
        """Packets came together, and are handled next, one after another."""
        now = self._clock()
        self._handled = [Entry(now, "received", transport, text, reading) for text, reading in packets]
        for entry in self._handled:
            self._add(entry)

    def step(self, words: str) -> None:
        """Something begins: a task, or the user's start or end."""
        self._add(Entry(self._clock(), reading=Reading("step", words)))

    def asked(self, type: str, name: str, seconds: float | None, failure: str | None) -> None:
        """A request of another client of this user (`self.client`) ended."""
        self._add(Entry(self._clock(), counts=[Count(type, name, seconds, failure)]))

    def counted(self, row: Row, seconds: float | None, failure: str | None) -> None:
        """A row counted a sample of this user (`measure.rows.SampleListener`)."""
        count = Count(row.type, row.name, seconds, failure)
        entry = self._source(count)
        if entry is None:
            entry = Entry(self._clock())
            self._add(entry)
        entry.counts.append(count)

    def _source(self, count: Count) -> Entry | None:
        """The packet that a sample is of, if it wasn't taken yet."""
        kinds, entries = _RECEIVED.get(count.type), self._handled
        if kinds is None:
            # What asks for an answer has its row with that; any other emit is counted when it is sent.
            kinds, raw = _SENT.get(count.type, ()), count.name.startswith("(raw)")
            sent = (entry for entry in reversed(self._entries) if entry.way == "sent")
            entries = [entry for entry in sent if raw or entry.reading.id is None]
        since = self._clock() - HOLD
        open = [
            entry
            for entry in entries
            if entry.reading.kind in kinds
            and entry.at >= since
            and not any(other.type == count.type for other in entry.counts)
        ]
        named = [entry for entry in open if entry.reading.event and entry.reading.event in count.name]
        meant = [entry for entry in named if entry.reading.row in (count.name, unlabelled(count.name))]
        return next(iter(meant or named or open), None)

    def _add(self, entry: Entry) -> None:
        if len(self._entries) >= ROOM or self._bytes > ROOM_BYTES:
            self.dropped += 1
        else:
            self._entries.append(entry)
            self._bytes += len(entry.text)

    def take(self, until: float, most: int = ROOM) -> list[Entry]:
        """The entries up to a moment, in their order, and no more than so many; each is given once."""
        taken: list[Entry] = []
        while self._entries and self._entries[0].at <= until and len(taken) < most:
            taken.append(self._entries.popleft())
            self._bytes -= len(taken[-1].text)
        return taken
