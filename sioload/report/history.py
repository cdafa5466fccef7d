"""How a run went over time: a bounded number of points, coarser with age.

A point holds what was counted in a span of time. The newest points are as fine as they were fed; when there
are more than `keep` of one fineness, the two oldest of them become one point of the next. A run of a day
therefore takes some ten times as many points as one of two minutes, not 720 times.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sioload.measure.blocks import buckets_of, deltas
from sioload.measure.histogram import LAST, TICKS, longest, tick_bounds
from sioload.measure.packing import numbers_of, varints
from sioload.measure.rows import Totals
from sioload.report.figures import Figures
from sioload.report.heard import Heard

#: Points of one fineness.
KEEP: Final = 120
#: Finenesses, each half as fine as the one before. Beyond the last, points are dropped: after three weeks of
#: one a second.
LEVELS: Final = 14
#: Buckets of a histogram are joined by eight (3 bits): 16 to a doubling, their midpoint at most 3.2 % off.
_JOINED: Final = 3
#: What charts show of a span's times, in percent; and the longest time.
PERCENTS: Final = (50.0, 95.0, 99.0, 99.9)
STATS: Final = ("p50", "p95", "p99", "p99.9", "max")
#: In place of a row's type, for the times from the first arrival to the last of messages to rooms.
SPREAD: Final = "spread"
#: Processes that are shown: the columns of 250 workers would be megabytes.
PROCESSES: Final = 8
#: Key of `Point.connections` for connections that are being made.
OPENING: Final = "opening"


class Cell:
    """One row in one span of time.

    Attributes:
        count: samples, with or without a time.
        failures: how many of them failed.
        top: the longest time in ticks, to the bucket; 0 without times.
    """

    __slots__ = ("_packed", "_times", "count", "failures", "top")

    def __init__(self, count: int, failures: int, joined: Mapping[int, int], top: int) -> None:
        self.count = count
        self.failures = failures
        self._packed = varints(deltas(joined))  # a run has thousands of cells
        self.top = top
        self._times: tuple[float, ...] | None = None

    def samples(self) -> dict[int, int]:
        """Joined buckets in ascending order, and how many samples each holds."""
        return buckets_of(numbers_of(self._packed))

    @property
    def times(self) -> tuple[float, ...]:
        """Milliseconds to four digits, in the order of `STATS`; empty when no sample carries a time."""
        if self._times is None:
            self._times = self._percentiles() if self._packed else ()
        return self._times

    def _percentiles(self) -> tuple[float, ...]:
        held = self.samples()
        total = sum(held.values())
        found: list[float] = []
        reached = 0
        pending = [max(1, -(-round(percent * 1000) * total // 100_000)) for percent in PERCENTS]
        for joined, samples in held.items():
            reached += samples
            while len(found) < len(pending) and pending[len(found)] <= reached:
                low, high = joined_bounds(joined)
                # As in a histogram: of what is beyond its last bucket's beginning, only the longest is known.
                beyond = joined == LAST >> _JOINED and self.top >= high
                found.append(self.top if beyond else min((low + high) / 2, self.top))
        return tuple(float(f"{ticks * 1000 / TICKS:.4g}") for ticks in (*found, self.top))

    def joined(self, other: Cell) -> Cell:
        """Both as one."""
        counts = self.samples()
        for i, n in other.samples().items():
            counts[i] = counts.get(i, 0) + n
        failures = self.failures + other.failures
        return Cell(self.count + other.count, failures, counts, max(self.top, other.top))


def joined_bounds(joined: int) -> tuple[int, int]:
    """The first tick of a joined bucket and the first tick behind it."""
    return tick_bounds(joined << _JOINED)[0], tick_bounds(((joined + 1) << _JOINED) - 1)[1]


@dataclass(slots=True)
class Point:
    """What happened from `start` to `end`, in seconds since the run's start.

    Attributes:
        users: simulated users, on average.
        connections: transport to open connections, and `OPENING` to those being made, on average.
        opened, upgraded: sessions that were, in this span.
        closed: reason to sessions closed for it in this span.
        outcomes: outcome to emits that ended with it in this span.
        processes: process to the CPU it used (cores, on average), its own lag and the machine's lag at p99
            (seconds, the worst); only processes that have measured themselves by now and aren't lost.
        cells: number of a row to its cell, for rows that counted something.
        heard: name to members that messages of this span were owed to, and how many of them got theirs.
        reports: how many points were joined in it.
    """

    start: float
    end: float
    users: float
    connections: dict[str, float]
    opened: int
    upgraded: int
    closed: dict[str, int]
    outcomes: dict[str, int]
    processes: dict[str, tuple[float, float, float]]
    cells: dict[int, Cell]
    heard: dict[str, tuple[int, int]] = field(default_factory=dict)
    reports: int = 1
    _slowest: list[tuple[float, float, str]] | None = field(default=None, repr=False, compare=False)

    @property
    def slowest(self) -> list[tuple[float, float, str]]:
        """Own lag, CPU and name of the `PROCESSES` with the most own lag; pages ask all points for them."""
        if self._slowest is None:
            lags = ((own, cpu, name) for name, (cpu, own, _) in self.processes.items())
            self._slowest = heapq.nlargest(PROCESSES, lags)
        return self._slowest

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def joined(self, later: Point) -> Point:
        """This point and the one that follows it as one."""
        mine, theirs = self.seconds, later.seconds
        share = mine / (mine + theirs) if mine + theirs > 0 else 0.5

        def mean(one: float, other: float) -> float:
            return one * share + other * (1 - share)

        processes = {**self.processes, **later.processes}
        for name in self.processes.keys() & later.processes.keys():
            (cpu, *lags), (later_cpu, *later_lags) = self.processes[name], later.processes[name]
            own, machine = map(max, lags, later_lags)
            processes[name] = (mean(cpu, later_cpu), own, machine)
        cells = {**self.cells, **later.cells}
        for row in self.cells.keys() & later.cells.keys():
            cells[row] = self.cells[row].joined(later.cells[row])
        keys = {**self.connections, **later.connections}
        return Point(
            self.start,
            later.end,
            mean(self.users, later.users),
            {key: mean(self.connections.get(key, 0.0), later.connections.get(key, 0.0)) for key in keys},
            self.opened + later.opened,
            self.upgraded + later.upgraded,
            _sum(self.closed, later.closed),
            _sum(self.outcomes, later.outcomes),
            processes,
            cells,
            {
                name: (
                    self.heard.get(name, (0, 0))[0] + later.heard.get(name, (0, 0))[0],
                    self.heard.get(name, (0, 0))[1] + later.heard.get(name, (0, 0))[1],
                )
                for name in {**self.heard, **later.heard}
            },
            self.reports + later.reports,
        )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _more(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {key: more for key, n in now.items() if (more := n - before.get(key, 0)) > 0}


class _Counted:
    """What a row had counted when it was last looked at."""

    __slots__ = ("count", "counts", "failures")

    def __init__(self) -> None:
        self.count = 0
        self.failures = 0
        self.counts: dict[int, int] = {}

    def advance(self, row: Totals) -> Cell | None:
        """What it counted since; None if nothing."""
        count, failures = row.count, row.failures
        if count == self.count and failures == self.failures:
            return None
        if count < self.count:  # it was reset
            self.count, self.failures, self.counts = 0, 0, {}
        before, fine = self.counts, dict(row.times.counts)
        joined: dict[int, int] = {}
        highest = -1
        for i, n in fine.items():
            if (more := n - before.get(i, 0)) > 0:
                joined[i >> _JOINED] = joined.get(i >> _JOINED, 0) + more
                highest = max(highest, i)
        top = longest(highest, row.times.max_ticks) if joined else 0
        cell = Cell(count - self.count, failures - self.failures, joined, top)
        self.count, self.failures, self.counts = count, failures, fine
        return cell


class History:
    """The points of one run, and the names of its rows.

    Attributes:
        rows: type and name of each row; a row's number is its position here.
    """

    def __init__(self, keep: int = KEEP, levels: int = LEVELS) -> None:
        self._keep = keep
        self._levels: list[deque[Point]] = [deque() for _ in range(levels)]
        self.clear()

    def clear(self) -> None:
        """Forget everything: the run starts anew."""
        self.rows: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._counted: list[_Counted] = []
        self._opened = self._upgraded = 0
        self._closed: dict[str, int] = {}
        self._outcomes: dict[str, int] = {}
        self._heard: dict[str, tuple[int, int]] = {}
        self._end = 0.0
        for level in self._levels:
            level.clear()

    @property
    def points(self) -> list[Point]:
        """Oldest first."""
        return [point for level in reversed(self._levels) for point in level]

    @property
    def newest(self) -> Point | None:
        """The newest point."""
        return self._levels[0][-1] if self._levels[0] else None

    def feed(self, end: float, figures: Figures, users: int, rows: Iterable[Totals] | None = None) -> None:
        """Add a point for what was counted since the last one.

        Args:
            end: seconds since the run's start. Nothing is added unless it is later than the last.
            figures: everything counted since the run's start.
            users: simulated users now.
            rows: the figures' rows, as an iterator that may take its time.
        """
        if end <= self._end:
            return
        cells: dict[int, Cell] = {}
        audiences = figures.audience.names()
        spreads = [Totals(SPREAD, name) for name in audiences]
        for spread in spreads:
            spread.times = audiences[spread.name].spread
        for row in itertools.chain(figures.rows if rows is None else rows, spreads):
            number = self._number(row)
            cell = self._counted[number].advance(row)
            if cell is not None:
                cells[number] = cell
        made, windows, outcomes = figures.connections, figures.living, figures.ledger.outcomes()
        point = Point(
            self._end,
            end,
            users,
            {**{name: n for name, n in made.current.items() if n}, OPENING: made.opening},
            max(0, made.opened - self._opened),
            max(0, made.upgraded - self._upgraded),
            _more(made.closed, self._closed),
            _more(outcomes, self._outcomes),
            {name: (total.cpu, total.own_p99, total.machine_p99) for name, total in windows if total.windows},
            cells,
            self._more_heard(audiences),
        )
        self._opened, self._upgraded, self._closed = made.opened, made.upgraded, dict(made.closed)
        self._outcomes = outcomes
        self._end = end
        self._append(point)

    def _more_heard(self, audiences: Mapping[str, Heard]) -> dict[str, tuple[int, int]]:
        """Owed and reached since this was last asked, by name."""
        before = self._heard
        self._heard = {name: (heard.owed, heard.reached) for name, heard in audiences.items()}
        return {
            name: (owed - before.get(name, (0, 0))[0], reached - before.get(name, (0, 0))[1])
            for name, (owed, reached) in self._heard.items()
            if owed > before.get(name, (0, 0))[0]
        }

    def _number(self, row: Totals) -> int:
        key = (row.type, row.name)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.rows)
            self.rows.append(key)
            self._counted.append(_Counted())
        return number

    def _append(self, point: Point) -> None:
        """Add a point, and join one pair: enough to keep the bound, and never much work at a time."""
        self._levels[0].append(point)
        for i in reversed(range(len(self._levels))):
            level = self._levels[i]
            if len(level) > self._keep:
                joined = level.popleft().joined(level.popleft())
                if i + 1 < len(self._levels):
                    self._levels[i + 1].append(joined)
                return
