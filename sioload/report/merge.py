"""The master's side: snapshots of many processes become the figures of one swarm.

Snapshots are cumulative and numbered, so one that is lost, repeated or late changes nothing once a newer one
came. A run without workers takes the same way with one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sioload.measure.behind import Comparison
from sioload.measure.blocks import Blocks
from sioload.measure.connections import Connections
from sioload.measure.health import HealthTotals
from sioload.measure.names import OTHER
from sioload.measure.outage import Outage
from sioload.measure.recorder import FIXED_NAMES, MAX_NAMES, SNAPSHOT, Recorder, is_fixed
from sioload.measure.rows import MAX_ERRORS, Totals
from sioload.plain import Json
from sioload.report.audience import Audiences
from sioload.report.figures import Figures, LostWorker, order
from sioload.report.windows import Windows

#: The process that hands out users, in place of a worker's id: it may have rows, but runs no users.
MASTER: Final = "master"
#: Rows by type and name, as `Totals.encode` gave them.
_Rows = dict[tuple[str, str], dict[str, Json]]


@dataclass(slots=True)
class _Process:
    """The newest state of one process.

    Attributes:
        data: its snapshot.
        rows: that snapshot's; of a run without workers, the recorder's own.
        added: what of a worker's rows is in the swarm's sums.
        fresh: it has rows that aren't.
        health: what it measured of itself.
    """

    worker: str
    epoch: str
    seq: int
    heard: float
    data: dict[str, Json]
    rows: Sequence[Totals | dict[str, Json]]
    added: _Rows
    health: HealthTotals
    fresh: bool = False


class Swarm:
    """Keeps the newest snapshot of each process and merges them.

    Rows are most of it: of those that came from workers there are sums, into which each snapshot brings what
    it has more than the one of the same process that is in them.

    Attributes:
        windows: the boundaries of the run, and what was counted between them.
        audiences: who should have heard each message, and who did.
    """

    def __init__(self) -> None:
        self._processes: dict[tuple[str, str], _Process] = {}
        self._sums: dict[tuple[str, str], Totals] = {}
        self._own: list[Totals] = []
        self._latest: dict[str, str] = {}
        self._forgotten: set[tuple[str, str]] = set()
        self._lost: dict[str, tuple[str | None, LostWorker]] = {}
        self._faults: list[str] = []
        self._figures: Figures | None = None
        self._with_blocks: set[tuple[str, str]] = set()
        self.windows = Windows()
        self.audiences = Audiences()
        self.audiences.clear(self.windows.marks)

    def take(self, worker: str, snapshot: dict[str, Json], now: float = 0.0) -> bool:
        """Take a snapshot of a worker.

        A worker that was given up as lost and reports again, from the same process, is lost no more: its
        snapshot holds all that was missing.

        Args:
            worker: its id.
            snapshot: what its `Recorder.snapshot` gave, as it came through msgpack.
            now: monotonic seconds.

        Returns:
            Whether it was new. Stale and repeated ones, and those from before a reset, change nothing.
        """
        if snapshot.get("schema") != SNAPSHOT:
            text = f"worker {worker} runs another version of sioload; its figures are missing"
            if text not in self._faults:
                self._faults.append(text)
                self._figures = None
            return False
        new = self._put(worker, snapshot, snapshot["rows"], now)
        if new:
            self._processes[worker, snapshot["epoch"]].fresh = True
        return new

    def take_local(self, recorder: Recorder, now: float = 0.0) -> Figures:
        """The figures of a run without workers: those of this process, as they are now.

        They are merged like any worker's, but read straight from the recorder: copying all rows once a second
        would hold up its users. The figures therefore hold until the next sample only.
        """
        seq = max((process.seq for process in self._processes.values()), default=0) + 1
        self._own = recorder.totals()
        self._put("local", recorder.state(seq), self._own, now)
        self.audiences.blocks = recorder.blocks
        return self.figures()

    def _put(
        self, worker: str, data: dict[str, Json], rows: Sequence[Totals | dict[str, Json]], now: float
    ) -> bool:
        epoch, seq = data["epoch"], data["seq"]
        key = (worker, epoch)
        known = self._processes.get(key)
        if key in self._forgotten or (known is not None and seq <= known.seq):
            return False
        if known is None:
            self._latest[worker] = epoch
        else:
            worker = known.worker  # each message brings its own text, which points of the history would keep
        added = {} if known is None else known.added
        health = HealthTotals.decode(data["health"])
        self._processes[key] = _Process(worker, epoch, seq, now, data, rows, added, health)
        lost = self._lost.get(worker)
        if lost is not None and lost[0] in (None, epoch):
            del self._lost[worker]
        self._figures = None
        return True

    def take_cut(self, worker: str, epoch: str, cut: dict[str, Json]) -> None:
        """Take what a process had counted at a boundary; see `Marks`. It may come again, or late."""
        self.windows.take((worker, epoch), cut)
        self._figures = None

    def take_blocks(self, worker: str, epoch: str, blocks: dict[str, Json]) -> None:
        """Take the blocks of a worker that has ended (`Blocks.encode`); once, though they may come again."""
        if (worker, epoch) not in self._with_blocks:
            self._with_blocks.add((worker, epoch))
            self.audiences.blocks.merge(Blocks.decode(blocks))

    def lost(self, worker: str, now: float = 0.0) -> LostWorker:
        """A worker went away before its run ended, at `now` (monotonic seconds)."""
        epoch = self._latest.get(worker)
        known = self._processes.get((worker, epoch)) if epoch is not None else None
        loss = LostWorker(worker, None if known is None else max(0.0, now - known.heard))
        self._lost[worker] = (epoch, loss)
        self.audiences.lost(worker)
        self._figures = None
        return loss

    def reset(self) -> None:
        """Forget everything; snapshots of the epochs seen so far are stale from now on."""
        self._forgotten.update(self._processes)
        self._processes.clear()
        self._sums.clear()
        self._own = []
        self._latest.clear()
        self._lost.clear()
        self._faults.clear()
        self._figures = None
        self.audiences.blocks = Blocks()
        self._with_blocks.clear()
        self.windows.clear()
        self.audiences.clear(self.windows.marks)

    def figures(self) -> Figures:
        """The merged figures; the same object until something changes. They are for reading only, and their
        rows grow with the next."""
        if self._figures is None or self._figures.audience is not self.audiences.figures():
            self._figures = self._merge()
        return self._figures

    def _merge(self) -> Figures:
        lost = [loss for _, loss in self._lost.values()]
        figures = Figures(internal_errors=list(self._faults), lost=lost, blocks=self.audiences.blocks)
        clock_errors: list[float | None] = []
        comparison = Comparison()
        outages: dict[float, Outage] = {}
        for process in self._processes.values():
            data = process.data
            if process.fresh:
                self._advance(process)
            connections = Connections.decode(data["connections"])
            gone = self._lost.get(process.worker, (None,))[0] == process.epoch
            if gone or self._latest[process.worker] != process.epoch:
                connections.current.clear()
                connections.opening = 0
            else:
                comparison.merge(data["streams"])
            figures.add(data, connections)
            if gone:
                figures.population.now -= data["population"]["now"]
            figures.internal_errors += [f"{process.worker}: {text}" for text in data["internal_errors"]]
            figures.unverified = figures.unverified or bool(data["unverified"])
            if process.worker != MASTER:
                figures.health.append((process.worker, process.health))
                clock_errors.append(data["clock_error"])
            for seen in map(Outage.decode, data["outages"]):
                known = outages.setdefault(seen.at, seen)
                if known is not seen:
                    known.merge(seen)
        figures.outages = [outages[at] for at in sorted(outages)]
        for name, counts in figures.delivery.items():
            counts.behind = comparison.behind(name)
        figures.clock_error = _between_two(clock_errors)
        figures.audience = self.audiences.figures()
        figures.rows = _bounded([*figures.audience.rows(), *self._own, *self._sums.values()])
        newest = {key: (process.data, process.rows) for key, process in self._processes.items()}
        self.windows.settle(newest)
        self.windows.show(figures, newest)
        return figures

    def _advance(self, process: _Process) -> None:
        """Bring what a worker counted since its rows were last added into the sums."""
        rows = _by_name(process.data["rows"])
        for key, row in rows.items():
            total = self._sums.get(key)
            if total is None:
                total = self._sums[key] = Totals(*key)
            total.merge_encoded(row, process.added.get(key))
        process.added, process.fresh = rows, False


def _by_name(rows: Iterable[dict[str, Json]]) -> _Rows:
    """Rows by type and name; those that share a name for want of room (`(other)`) as one."""
    found: _Rows = {}
    shared: dict[tuple[str, str], Totals] = {}
    for row in rows:
        key = (row["type"], row["name"])
        if key in found:
            if key not in shared:
                shared[key] = Totals.decode(found[key])
            shared[key].merge_encoded(row)
        else:
            found[key] = row
    found.update({key: total.encode() for key, total in shared.items()})
    return found


def _between_two(errors: list[float | None]) -> float | None:
    """How far two clocks may be apart: the two largest bounds together; one process agrees with itself."""
    if len(errors) < 2:
        return 0.0
    known = sorted(error for error in errors if error is not None)
    return sum(known[-2:]) if len(known) == len(errors) else None


def _bounded(rows: Iterable[Totals]) -> list[Totals]:
    """Rows merged by type and name, and then with at most `MAX_NAMES` names.

    The names with the most samples stay, whatever the order in which processes reported them.
    """
    weight: dict[bool, dict[str, int]] = {True: {}, False: {}}
    groups: dict[tuple[str, str], list[Totals]] = {}
    for row in rows:
        names = weight[is_fixed(row.type, row.name)]
        names[row.name] = names.get(row.name, 0) + row.count + row.skipped + row.unfinished
        groups.setdefault((row.type, row.name), []).append(row)
    kept = set()
    for fixed, room in ((True, FIXED_NAMES), (False, MAX_NAMES - FIXED_NAMES - 1)):
        names = weight[fixed]
        names.pop(OTHER, None)
        kept.update(sorted(names, key=lambda name: (-names[name], name))[:room])
    shown: dict[tuple[str, str], list[Totals]] = {}
    for (type, name), group in groups.items():
        shown.setdefault((type, name if name in kept else OTHER), []).extend(group)
    merged = [_merged(type, name, group) for (type, name), group in shown.items()]
    return sorted(merged, key=order)


def _merged(type: str, name: str, group: list[Totals]) -> Totals:
    first = group[0]
    if len(group) == 1 and first.name == name and len(first.errors) <= MAX_ERRORS:
        return first
    merged = Totals(type, name)
    for row in group:
        merged.merge(row)
    merged.bound_errors()
    return merged
