"""The audiences of a whole swarm: what processes tell of messages and rooms becomes figures.

A message is judged by its first arrival anywhere, once all processes have told what they know of the time
until `grace` after it. What a process tells comes in numbered batches; one that comes again changes nothing.
See `measure/audience.py` for what is owed to whom.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Final, NamedTuple

from sioload.measure.audience import FOLLOWED, NARROWEST, sampled
from sioload.measure.blocks import Blocks
from sioload.measure.histogram import index
from sioload.measure.names import OTHER
from sioload.measure.rooms import GRACE, StepKey
from sioload.measure.rows import Delta, Row, Totals
from sioload.plain import Json
from sioload.report.heard import TYPE, AudienceFigures, Heard, Worst, worst_of
from sioload.report.judged import MEMORY, Judged
from sioload.report.members import Steps

#: What a message that somebody missed counts as.
INCOMPLETE: Final = "not all of its audience got it"
MISSED: Final = "missed"
#: Names that are told apart; row names are bounded where they are shown.
_NAMES: Final = 100

#: A message: name, room and identity, as keys.
Key = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class _Process:
    """What one process has told.

    Attributes:
        worker: whose it is.
        next: number of the batch to come.
        to, complete: see `Audience.report`.
        followed: receptions that it follows.
        out: it is lost, or its users were stopped while the run goes on: its members owe nothing from `to`
            on.
        away: from when until when it was out, and is back since: it may have stood still.
    """

    worker: str
    next: int = 0
    to: float = -math.inf
    complete: float = -math.inf
    followed: int = 0
    out: bool = False
    away: tuple[float, float] = (math.inf, -math.inf)

    def owes(self, first: float, in_time: float) -> bool:
        """Whether its members owe what first arrived then, and is late after `in_time`."""
        if self.out:
            return self.to >= in_time
        since, until = self.away
        return in_time <= since or first >= until


class _Told(NamedTuple):
    """What a process told of one message, see `Audience._finish`; it takes a third of what came with it."""

    process: _Process
    sender: str | None
    sent: float | None
    first: float
    total: int
    block: int
    last: float
    duplicates: int
    late: int
    again: Sequence[float]
    others: Sequence[Sequence[float]]


class Audiences:
    """Brings together what the processes of a swarm tell, and judges message by message.

    Attributes:
        shift: one message in 2 ** shift is followed.
        blocks: get the samples of FANOUT rows too.
    """

    def __init__(self) -> None:
        self.blocks = Blocks()
        self.clear([])

    def clear(self, marks: list[float]) -> None:
        """A run begins, or everything counted is forgotten.

        Args:
            marks: the boundaries of the run, in their order; more may be added.
        """
        self.shift = 0
        self._marks = marks
        self._grace = GRACE
        self._processes: dict[tuple[str, str], _Process] = {}
        self._steps: dict[StepKey, dict[_Process, Steps]] = {}
        self._emptied: deque[tuple[float, StepKey, _Process]] = deque()
        self._pending: dict[Key, list[_Told]] = {}
        self._waiting: list[tuple[float, Key]] = []  # a heap: pending messages by when they first came
        self._receptions = 0  # of pending messages
        self._judged = Judged()
        self._floor = -math.inf
        self._since = -math.inf  # what first came before may be known in part only
        self._parts: dict[float, dict[str, Heard]] = {}
        self._names: set[str] = set()
        self._frozen: dict[float, dict[str, Heard]] = {}
        self._changed: set[float] = set()
        self._figures: AudienceFigures | None = None
        self._rows: dict[str, Row] = {}

    # What processes tell.

    def take(self, worker: str, epoch: str, told: Mapping[str, Json], *, going: bool) -> int:
        """Take what a process told.

        Args:
            worker, epoch: which one.
            told: what `Audience.report` gave.
            going: the run goes on.

        Returns:
            The number of the batch that is to come next.
        """
        process = self._processes.get((worker, epoch))
        if process is None:
            self.lost(worker)
            process = self._processes[worker, epoch] = _Process(worker)
        self._grace = told["grace"]
        before = process.to if process.out else None
        # The newest counts, even of an earlier time: the first may come before a worker's clock is set.
        process.to, process.complete = told["to"], told["complete"]
        process.followed = told["followed"] >> max(0, self.shift - told["shift"])
        self._since = max(self._since, told["since"])
        if not (told["closed"] and process.out):
            process.out = told["closed"] and going
        if before is not None and not process.out:
            process.away = before, process.to
        for batch in told["batches"]:
            if batch["number"] == process.next:
                process.next += 1
                self._add(process, batch)
        self._narrow(told["shift"])
        self.settle()
        followed = self._receptions + sum(each.followed for each in self._processes.values() if not each.out)
        if followed > FOLLOWED and self.shift < NARROWEST:
            self._narrow(self.shift + 1)
        return process.next

    def lost(self, worker: str) -> None:
        """A worker is gone: its users owe nothing from its last report on."""
        gone = [each for each in self._processes.values() if each.worker == worker and not each.out]
        for process in gone:
            if process.complete < math.inf:
                process.out = True
                process.to = min(process.to, process.complete)
        if gone:
            self.settle()

    def _add(self, process: _Process, batch: Mapping[str, Json]) -> None:
        for name, room, me, at, count in batch["steps"]:
            key = (name, room, me)
            functions = self._steps.setdefault(key, {})
            steps = functions.get(process)
            if steps is None:
                steps = functions[process] = Steps()
            steps.add(at, count, self._floor)
            if not count:
                self._emptied.append((at, key, process))
        for record in batch["messages"]:
            self._hear(process, record)
        for name, late in batch["late"].items():
            self._heard(name, batch["to"]).late += late

    def _hear(self, process: _Process, record: Sequence[Json]) -> None:
        key = (intern(record[0]), intern(record[1]), record[2])
        if not sampled(key[1], key[2], self.shift):
            return
        told = _Told._make((process, *record[3:11], record[11] or (), record[12] or ()))
        first = told.first
        judged = self._judged.first(key)
        if first <= judged + MEMORY * self._grace:
            if first > judged + self._grace and process.owes(judged, judged + self._grace):
                self._heard(key[0], first).late += told.total
            return
        self._pending.setdefault(key, []).append(told)
        heapq.heappush(self._waiting, (first, key))
        self._receptions += told.total

    def _narrow(self, shift: int) -> None:
        """Follow one message in 2 ** shift from now on."""
        if shift <= self.shift:
            return
        for process in self._processes.values():
            process.followed >>= shift - self.shift  # it will hear of it, and tell of fewer
        self.shift = shift
        self._figures = None
        for key in [key for key in self._pending if not sampled(key[1], key[2], shift)]:
            self._receptions -= sum(told.total for told in self._pending.pop(key))
        self._waiting = [each for each in self._waiting if each[1] in self._pending]
        heapq.heapify(self._waiting)

    # Judging.

    def settle(self) -> None:
        """Judge what all processes have told of."""
        there = [each for each in self._processes.values() if not each.out]
        complete = min((each.complete for each in there), default=math.inf)
        to = min((each.to for each in there), default=math.inf)
        grace, waiting = self._grace, self._waiting
        while waiting and waiting[0][0] + grace <= complete:
            first, key = heapq.heappop(waiting)
            heard = self._pending.pop(key, None)
            if heard is not None:
                self._receptions -= sum(told.total for told in heard)
                self._judge(key, first, heard, to)
        if complete < math.inf:
            self._floor = max(self._floor, complete - grace)
            self._forget()

    def _forget(self) -> None:
        """What nobody will ask for any more."""
        floor = self._floor
        while self._emptied and self._emptied[0][0] <= floor:
            _, step_key, process = self._emptied.popleft()
            functions = self._steps.get(step_key)
            if functions is not None and process in functions and functions[process].over(floor):
                del functions[process]
                if not functions:
                    del self._steps[step_key]

    def _judge(self, key: Key, first: float, heard: list[_Told], to: float) -> None:
        """Judge one message.

        Args:
            key: which.
            first: when it first arrived anywhere.
            heard: what processes told of it.
            to: until when all that count know what happened.
        """
        name, grace = key[0], self._grace
        self._judged.add(key, first, grace)
        if first < self._since:
            return  # a part of it was forgotten
        in_time = first + grace
        sender = next((told.sender for told in heard if told.sender is not None), None)
        sent = next((told.sent for told in heard if told.sent is not None), None)
        if sent is not None and first - sent > grace:
            self._heard(name, first).late += sum(told.total for told in heard)
            return
        if in_time > to:
            self._heard(name, first).unjudged += 1
            return
        found = _Arrivals(first, grace)
        for told in heard:
            if not told.process.owes(first, in_time):
                continue
            if told.first > in_time:
                found.late += told.total
            else:
                found.add(told)
        owed = self._members(key[0], key[1], None, first)
        if sender is not None and owed:
            owed -= self._members(key[0], key[1], sender, first)
        self._count(key, found, max(owed, found.reached), first if sent is None else sent)

    def _members(self, name: str, room: str, me: str | None, first: float) -> int:
        functions = self._steps.get((name, room, me))
        if functions is None:
            return 0
        in_time = first + self._grace
        return sum(s.at(first) for p, s in functions.items() if p.owes(first, in_time))

    def _count(self, key: Key, found: _Arrivals, owed: int, base: float) -> None:
        heard = self._heard(key[0], found.last)
        heard.strays += found.strays
        heard.duplicates += found.duplicates
        heard.late += found.late
        if not owed:
            return
        heard.messages += 1
        heard.owed += owed
        heard.reached += found.reached
        if found.reached:
            heard.spread.add(found.last - found.first)
        row = self._row(key[0])
        if found.reached == owed:
            seconds = max(0.0, found.last - base)
            row.add(seconds)
        else:
            seconds = max(0.0, found.first + self._grace - base)
            row.fail(INCOMPLETE, seconds, kind=MISSED)
            heard.fanout.failed_of(MISSED).add(seconds)
            heard.fanout.errors[INCOMPLETE] = heard.fanout.errors.get(INCOMPLETE, 0) + 1
            missed = Worst(owed - found.reached, owed, key[1], key[2], found.first)
            heard.worst = worst_of([*heard.worst, missed])
        heard.fanout.times.add(seconds)
        failures, counts = int(found.reached < owed), {index(seconds): 1}
        self.blocks.add(found.last, TYPE, row.name, count=1, failures=failures, counts=counts)

    def _heard(self, name: str, at: float) -> Heard:
        """Where what was last heard at a time counts."""
        passed = bisect_right(self._marks, at)
        begin = self._marks[passed - 1] if passed else -math.inf
        self._changed.add(begin)
        self._figures = None
        part, name = self._parts.setdefault(begin, {}), self._admitted(name)
        heard = part.get(name)
        if heard is None:
            heard = part[name] = Heard(fanout=Totals(TYPE, name))
        return heard

    def _admitted(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= _NAMES:
                return OTHER
            self._names.add(name)
        return name

    def _row(self, name: str) -> Row:
        name = self._admitted(name)
        return self._rows.get(name) or self._rows.setdefault(name, Row(TYPE, name))

    # What came of it.

    def deltas(self) -> list[Delta]:
        """What FANOUT rows counted since this was last asked."""
        return [delta for row in self._rows.values() if (delta := row.take()) is not None]

    def figures(self) -> AudienceFigures:
        """The figures as they are now; the same object until something changes."""
        if self._figures is None or self._figures.settled != self._floor:
            for begin in self._changed:
                self._frozen[begin] = {}
                for name, heard in self._parts[begin].items():
                    copy = self._frozen[begin][name] = Heard(fanout=Totals(TYPE, name))
                    copy.merge(heard)
            self._changed.clear()
            self._figures = AudienceFigures(dict(self._frozen), 0.5**self.shift, self._floor)
        return self._figures


class _Arrivals:
    """Where one message arrived, in the light of when it first did."""

    __slots__ = ("_grace", "duplicates", "first", "last", "late", "reached", "strays")

    def __init__(self, first: float, grace: float) -> None:
        self.first = self.last = first
        self._grace = grace
        self.reached = self.strays = self.duplicates = self.late = 0

    def add(self, told: _Told) -> None:
        """What one process told."""
        self.reached += told.block
        if told.block:
            self.last = max(self.last, told.last)
        in_time = sum(at <= self.first + self._grace for at in told.again)
        self.duplicates += told.duplicates + in_time
        self.late += told.late + len(told.again) - in_time
        for at, *times in told.others:
            self._one(at, times)

    def _one(self, at: float, times: Sequence[float]) -> None:
        """One receiver: when it got it, and when it came into the room and left, in turn."""
        first, grace = self.first, self._grace
        stays = list(zip(times[::2], times[1::2], strict=True))
        if at > first + grace:
            self.late += 1
        elif any(begin + grace <= first < end - grace for begin, end in stays):
            self.reached += 1
            self.last = max(self.last, at)
        elif not any(begin <= first + grace and end >= first - grace for begin, end in stays):
            self.strays += 1
