"""The boundaries of a run where its figures come together, and what was counted between them.

Every process cuts its cumulative figures at each boundary. The cuts are added up, and once all processes have
given theirs the window before that boundary is the difference to the sum at the boundary before: nothing is
kept for each process, and of windows only the newest are kept unpacked.
"""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Iterable, Mapping
from typing import Final

from sioload.measure.behind import Comparison
from sioload.measure.connections import Connections
from sioload.measure.health import HealthTotals
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report.figures import Figures, Window, order

#: A process by worker and epoch.
Process = tuple[str, str]
#: The newest state of each process: as `Recorder.state` gave it, and its rows.
Newest = Mapping[Process, tuple[Mapping[str, Json], Iterable[Totals | dict[str, Json]]]]

#: Boundaries that wait for a process. Of one that was lost its last figures count, should it not come back.
WAITING: Final = 8
#: Windows that aren't packed.
UNPACKED: Final = 16


class _Sum:
    """What processes had counted at a boundary.

    Attributes:
        given: those that gave their cut.
        empty: all of them had counted nothing: they hadn't begun.
        late: seconds by which the last of them cut late (or early, if that is more).
        health: worker id and what it measured of itself since the boundary before, where that is asked for.
    """

    __slots__ = ("_comparison", "_figures", "_rows", "empty", "given", "health", "late")

    def __init__(self) -> None:
        self.given: set[Process] = set()
        self.empty = True
        self.late = 0.0
        self.health: list[tuple[str, HealthTotals]] = []
        self._comparison = Comparison()
        self._figures = Figures()
        self._rows: dict[tuple[str, str], Totals] = {}

    def add(self, data: Mapping[str, Json], rows: Iterable[Totals | dict[str, Json]]) -> None:
        self._figures.add(data, Connections.decode(dict(data["connections"])))
        for row in rows:
            if isinstance(row, Totals):
                self._row(row.type, row.name).merge(row)
            else:
                self._row(row["type"], row["name"]).merge_encoded(row)

    def compare(self, data: Mapping[str, Json]) -> None:
        """How far streams had come in a process that was added, and lives."""
        self._comparison.merge(data["streams"])

    def without_users(self, data: Mapping[str, Json]) -> None:
        """The users of a process that was added live no more."""
        self._figures.population.now -= data["population"]["now"]
        self._figures.population.connected -= data["population"]["connected"]

    def _row(self, type: str, name: str) -> Totals:
        row = self._rows.get((type, name))
        if row is None:
            row = self._rows[type, name] = Totals(type, name)
        return row

    def copy(self) -> _Sum:
        twin = _Sum()
        twin.given = set(self.given)
        twin._comparison = copy.deepcopy(self._comparison)
        twin._figures = copy.deepcopy(self._figures)
        twin._rows = {key: row.copy() for key, row in self._rows.items()}
        return twin

    def figures(self) -> Figures:
        """The sum; it must not be added to any more."""
        self._figures.rows = sorted(self._rows.values(), key=order)
        for name, counts in self._figures.delivery.items():
            counts.behind = self._comparison.behind(name)
        return self._figures


class Windows:
    """The boundaries of one run.

    Attributes:
        marks: all that were set, on the swarm's clock, in their order.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A run begins, or everything counted is forgotten: there is no boundary."""
        self.marks: list[float] = []
        self._closed: list[Window] = []
        self._base = Figures()
        self._pending: dict[float, _Sum] = {}

    def mark(self, times: Iterable[float], begun: float) -> None:
        """Set boundaries, which may be done while the run goes on.

        Args:
            times: of the boundaries; those before one that is closed already are left out.
            begun: when counting began, and that before it was forgotten.
        """
        for at in sorted(set(times).difference(self.marks)):
            if at > self._passed:
                bisect.insort(self.marks, at)
                if at <= begun:
                    self._close(at, Figures(), 0.0)
                else:
                    self._pending[at] = _Sum()

    def take(self, process: Process, cut: Mapping[str, Json]) -> None:
        """Take a cut. One that came before, or comes after its boundary was closed, does nothing."""
        at = cut["mark"]
        waiting = self._pending.get(at)
        if waiting is None or process in waiting.given:
            return
        waiting.given.add(process)
        snapshot = cut["snapshot"]
        if snapshot is not None:
            waiting.empty = False
            late = cut["cut"] - at
            waiting.late = late if abs(late) > abs(waiting.late) else waiting.late
            waiting.add(snapshot, snapshot["rows"])
            waiting.compare(snapshot)
            part = HealthTotals.decode(snapshot["health"]).part
            if part is not None:
                waiting.health.append((process[0], HealthTotals(steady=part)))

    def settle(self, newest: Newest) -> None:
        """Close the boundaries that wait for nobody any more."""
        for at in sorted(self._pending):
            waiting = self._pending[at]
            complete = waiting.given and newest.keys() <= waiting.given
            begun = sum(not later.empty for later in self._pending.values())
            if not complete and begun <= WAITING:
                return
            del self._pending[at]
            self._close(at, self._completed(waiting, newest), waiting.late)
            self._closed[-1].health = waiting.health

    def show(self, figures: Figures, newest: Newest) -> None:
        """Put the windows into the figures of the run, as they are known now."""
        shown, cut = list(self._closed), self._base if self._closed else None
        reached = [at for at, waiting in self._pending.items() if not waiting.empty]
        for at in sorted(at for at in self._pending if reached and at <= max(reached)):
            waiting = self._pending[at]
            total = self._completed(waiting.copy(), newest)
            shown.append(_window(shown[-1:], at, total, cut or Figures(), waiting.late))
            shown[-1].health = waiting.health
            cut = total
        figures.windows, figures.cut = shown, cut

    @property
    def _passed(self) -> float:
        return self._closed[-1].end if self._closed else -math.inf

    def _completed(self, waiting: _Sum, newest: Newest) -> Figures:
        """The sum, with the last that is known of processes that haven't cut."""
        for process, (data, rows) in newest.items():
            if process not in waiting.given:
                waiting.add(data, rows)
                waiting.without_users(data)
        return waiting.figures()

    def _close(self, at: float, total: Figures, late: float) -> None:
        window = _window(self._closed[-1:], at, total, self._base, late)
        window.final = True
        self._closed.append(window)
        self._base = total
        if len(self._closed) > UNPACKED:
            self._closed[-UNPACKED - 1].pack()


def _window(before: list[Window], at: float, total: Figures, earlier: Figures, late: float) -> Window:
    begin, users = (before[-1].end, earlier.population.now) if before else (-math.inf, 0)
    return Window(begin, at, total.since(earlier), users=users, late=late)
