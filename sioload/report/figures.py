"""What a swarm measured, as one; and what it measured in a part of the run.

All counts only grow, so a part of the run is the difference of two states of them: exact, and parts that
follow each other add up to the whole, bucket for bucket.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgpack

from sioload.measure.blocks import Blocks
from sioload.measure.connections import Connections
from sioload.measure.delivery import DeliveryCounts, counts_of
from sioload.measure.health import HealthTotals
from sioload.measure.ledger import Ledger
from sioload.measure.names import OTHER
from sioload.measure.outage import Outage
from sioload.measure.population import Population
from sioload.measure.row_types import ROW_TYPES
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report.heard import TYPE, AudienceFigures
from sioload.report.servers import Metric

_ORDER = {type: position for position, type in enumerate(ROW_TYPES)}


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker that went away before its run ended.

    Attributes:
        worker: its id.
        unreported: seconds between its last snapshot and its loss, whose samples are missing; None if it
            never sent one.
    """

    worker: str
    unreported: float | None

    def __str__(self) -> str:
        if self.unreported is None:
            return f"worker {self.worker} was lost and never reported anything"
        return f"worker {self.worker} was lost with up to {self.unreported:.1f} s of its samples unreported"


@dataclass(slots=True)
class Figures:
    """What a swarm measured.

    Attributes:
        rows: every row that counted something, by type (in the order of `ROW_TYPES`, then those of other
            clients) and name.
        delivery: row name to its delivery counts.
        audience: who should have heard each message, and who did.
        health: worker id and what it measured of itself, for each process.
        population: users, and what they raised.
        clock_error: how far the clocks of two processes may differ at most, in seconds; None if unknown.
        internal_errors: faults of sioload itself.
        unverified: TLS was spoken with whatever certificate a server showed.
        lost: workers that went away.
        going: the run goes on, and emits may be open.
        windows: what was counted up to each boundary that the run has passed, one after the other.
        cut: everything counted up to the last of them.
        blocks: the rows' samples in blocks of time, of processes that have ended or are this one.
        servers: what was read of the servers.
        outages: what was seen of those that a drill makes.
        drill: what came of them, as the report has it.
    """

    rows: list[Totals] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    connections: Connections = field(default_factory=Connections)
    bytes_sent: int = 0
    bytes_received: int = 0
    delivery: dict[str, DeliveryCounts] = field(default_factory=dict)
    audience: AudienceFigures = field(default_factory=AudienceFigures)
    health: list[tuple[str, HealthTotals]] = field(default_factory=list)
    population: Population = field(default_factory=Population)
    clock_error: float | None = None
    internal_errors: list[str] = field(default_factory=list)
    unverified: bool = False
    lost: list[LostWorker] = field(default_factory=list)
    going: bool = False
    windows: Sequence[Window] = ()
    cut: Figures | None = None
    blocks: Blocks | None = None
    servers: Sequence[Metric] = ()
    outages: list[Outage] = field(default_factory=list)
    drill: Sequence[Mapping[str, Json]] = ()

    @property
    def living(self) -> list[tuple[str, HealthTotals]]:
        """`health` of processes that measure themselves still: what is newest of a lost one was long ago."""
        lost = {loss.worker for loss in self.lost}
        return [(worker, totals) for worker, totals in self.health if worker not in lost]

    def add(self, data: Mapping[str, Json], connections: Connections) -> None:
        """Add what a process counted, but for its rows.

        Args:
            data: as `Recorder.state` gave it.
            connections: of the process, as they count here.
        """
        self.ledger.merge(Ledger.decode(data["ledger"]))
        self.connections.merge(connections)
        self.bytes_sent += data["bytes"][0]
        self.bytes_received += data["bytes"][1]
        for name, counts in data["delivery"].items():
            counts_of(self.delivery, name).merge(DeliveryCounts.decode(counts))
        self.population.merge(Population.decode(data["population"]))

    def since(self, earlier: Figures) -> Figures:
        """What was counted after `earlier`, a former state of these: the exact difference of all counts."""
        before = {(row.type, row.name): row for row in earlier.rows}
        rows = []
        for row in self.rows:
            known = before.get((row.type, row.name))
            fresh = row if known is None else row.since(known)
            if fresh.count or fresh.skipped or fresh.unfinished:
                rows.append(fresh)
        none = DeliveryCounts()
        pushes = {
            name: counts.since(earlier.delivery.get(name, none)) for name, counts in self.delivery.items()
        }
        return Figures(
            rows=rows,
            ledger=self.ledger.since(earlier.ledger),
            connections=self.connections.since(earlier.connections),
            bytes_sent=self.bytes_sent - earlier.bytes_sent,
            bytes_received=self.bytes_received - earlier.bytes_received,
            delivery=pushes,
            audience=self.audience.since(earlier.audience),
            population=self.population.since(earlier.population),
        )

    def followed_by(self, later: Figures) -> Figures:
        """These and those of the part of the run that follows, as one."""
        table = {(row.type, row.name): row.copy() for row in self.rows}
        for row in later.rows:
            known = table.get((row.type, row.name))
            if known is None:
                table[row.type, row.name] = row
            else:
                known.merge(row)
        joined = Figures(
            rows=sorted(table.values(), key=order),
            bytes_sent=self.bytes_sent + later.bytes_sent,
            bytes_received=self.bytes_received + later.bytes_received,
        )
        for part in (self, later):
            joined.ledger.merge(part.ledger)
            joined.connections.merge(part.connections)
            joined.population.merge(part.population)
            for name, counts in part.delivery.items():
                counts_of(joined.delivery, name).merge(counts)
        made, users = joined.connections, joined.population
        made.current, made.opening = dict(later.connections.current), later.connections.opening
        users.now, users.stopped = later.population.now, later.population.stopped
        users.connected = later.population.connected
        users.peak = users.high = max(self.population.peak, later.population.peak)
        for name, counts in later.delivery.items():
            counts_of(joined.delivery, name).behind = counts.behind
        return joined


def order(row: Totals) -> tuple[int, str, bool, str]:
    """Our own types as `ROW_TYPES` has them, then those of other clients."""
    return _ORDER.get(row.type, len(_ORDER)), row.type, row.name == OTHER, row.name


class Window:
    """What was counted between two boundaries that follow each other.

    Attributes:
        begin, end: swarm clock; `begin` of the first is minus infinity.
        late: seconds by which the last process cut late (or early, if that is more) at its end.
        users: that lived at its beginning.
        final: it can't change any more.
        health: worker id and what it measured of itself, where levels of a search for capacity end.
        shown: what was made of it for a report, if that can't change any more.
        drilled: the same, for a drill.
    """

    __slots__ = ("_figures", "_packed", "begin", "drilled", "end", "final", "health", "late", "shown",
                 "users")  # fmt: skip

    def __init__(self, begin: float, end: float, figures: Figures, *, users: int, late: float) -> None:
        self.begin = begin
        self.end = end
        self.late = late
        self.users = users
        self.final = False
        self.health: Sequence[tuple[str, HealthTotals]] = ()
        self.shown: dict[str, Json] | None = None
        self.drilled: object = None
        self._figures: Figures | None = figures
        self._packed = b""

    def pack(self) -> None:
        """Take a tenth of the memory from now on: a run may have hundreds of phases."""
        figures = self._figures
        if figures is None:
            return
        data = {
            "rows": [row.encode() for row in figures.rows],
            "ledger": figures.ledger.encode(),
            "connections": figures.connections.encode(),
            "bytes": [figures.bytes_sent, figures.bytes_received],
            "delivery": {name: counts.encode() for name, counts in figures.delivery.items()},
            "population": figures.population.encode(),
        }
        self._packed = zlib.compress(msgpack.packb(data), 1)
        self._figures = None

    def figures(self) -> Figures:
        """What was counted; for reading only."""
        if self._figures is not None:
            return self._figures
        data = msgpack.unpackb(zlib.decompress(self._packed))
        figures = Figures(rows=[Totals.decode(row) for row in data["rows"]])
        figures.add(data, Connections.decode(data["connections"]))
        return figures


def pieces_between(figures: Figures, begin: float, end: float) -> tuple[list[Window], list[Figures]] | None:
    """What `between` puts together: windows, and what was counted since the last of all, if that belongs to
    it; None if the run hasn't passed `begin`."""
    passed = figures.windows[-1].end if figures.windows else -math.inf
    if begin > passed:
        return None
    windows = [window for window in figures.windows if begin <= window.begin and window.end <= end]
    if end <= passed:
        return windows, []
    return windows, [figures.since(figures.cut if figures.cut is not None else Figures())]


def between(figures: Figures, begin: float = -math.inf, end: float = math.inf) -> Figures | None:
    """What was counted between two boundaries of the run.

    Args:
        figures: of the run.
        begin: swarm clock, a boundary; by default the run's beginning.
        end: the same; by default the run's end, which may be still to come.

    Returns:
        It, for reading only; None if the run hasn't passed `begin`.
    """
    pieces = pieces_between(figures, begin, end)
    if pieces is None:
        return None
    windows, rest = pieces
    parts = [*(window.figures() for window in windows), *rest]
    found = parts[0]
    for part in parts[1:]:
        found = found.followed_by(part)
    # Messages are judged some time after they were heard, and belong to where they were heard.
    audience = figures.audience.between(begin, end)
    rows = [*(row for row in found.rows if row.type != TYPE), *audience.rows()]
    return replace(found, rows=sorted(rows, key=order), audience=audience, clock_error=figures.clock_error)
