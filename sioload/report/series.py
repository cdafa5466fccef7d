"""The history of a run as columns of numbers, for charts."""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from sioload.measure.ledger import OUTCOMES
from sioload.measure.names import clean_name
from sioload.plain import Json
from sioload.report.drill import BEFORE
from sioload.report.history import OPENING, PROCESSES, STATS, Cell, Point

#: Points of the chart around a mark of a drill, at most.
DRAWN: Final = 240


def regular(points: Sequence[Point], most: int) -> list[Point]:
    """The same history in at most `most` points: of as many reports each, or about as long if longer."""
    if not points:
        return []
    reports = max(point.reports for point in points)
    step = (points[-1].end - points[0].start) / most
    found: list[Point] = []
    for point in points:
        if found and (found[-1].reports < reports or found[-1].seconds < step):
            found[-1] = found[-1].joined(point)
        else:
            found.append(point)
    return found


def series(points: Sequence[Point]) -> dict[str, Json]:
    """The points as columns: plain numbers, `None` where there is nothing to show.

    Args:
        points: oldest first.

    Returns:
        `end` and `seconds` of each point; `users`; `connections` by transport; `opened`, `upgraded` and
        `closed` (by reason) and `outcomes` of emits per second; `processes` with `cpu` in cores and `own` and
        `machine` lag in ms, of those with the most own lag; `measured`: how many there are.
    """
    span = _spans(points)
    transports = sorted({key for point in points for key in point.connections})
    reasons = sorted({key for point in points for key in point.closed})
    outcomes = [key for key in OUTCOMES if any(key in point.outcomes for point in points)]
    processes, measured = _processes(points)
    return {
        "end": [round(point.end, 2) for point in points],
        "seconds": [round(point.seconds, 2) for point in points],
        "users": [round(point.users, 1) for point in points],
        "connections": {key: [round(p.connections.get(key, 0), 1) for p in points] for key in transports},
        "opened": _per_second((point.opened for point in points), span),
        "upgraded": _per_second((point.upgraded for point in points), span),
        "closed": {key: _per_second((p.closed.get(key, 0) for p in points), span) for key in reasons},
        "outcomes": {key: _per_second((p.outcomes.get(key, 0) for p in points), span) for key in outcomes},
        "processes": {
            name: {
                column: [
                    None if (found := point.processes.get(name)) is None else round(found[i] * factor, 3)
                    for point in points
                ]
                for i, (column, factor) in enumerate((("cpu", 1), ("own", 1000), ("machine", 1000)))
            }
            for name in processes
        },
        "measured": measured,
    }


def _processes(points: Sequence[Point]) -> tuple[list[str], int]:
    """The processes that are shown, and how many there are."""
    worst: dict[str, tuple[float, float]] = {}
    for point in points:
        for own, cpu, name in point.slowest:  # who is shown was one of them in some point
            worst[name] = max(worst.get(name, (0.0, 0.0)), (own, cpu))
    shown = sorted(worst, key=lambda name: (worst[name], name), reverse=True)[:PROCESSES]
    # Who has measured itself once is in each later point, unless it was lost.
    measured = max((len(point.processes) for point in points), default=0)
    return sorted(shown), max(measured, len(worst))


def row_series(points: Sequence[Point], number: int) -> dict[str, Json]:
    """One row's columns over the same points.

    Returns:
        `rate` and `failures` per second; `times` in ms by `STATS`, None for a row without times; and
        `outages`, the first and the last number of points in a row that are without times unusually long.
    """
    span = _spans(points)
    cells = [point.cells.get(number) for point in points]
    times = [() if cell is None else cell.times for cell in cells]
    return {
        "rate": _per_second((0 if cell is None else cell.count for cell in cells), span),
        "failures": _per_second((0 if cell is None else cell.failures for cell in cells), span),
        "times": {stat: [found[i] if found else None for found in times] for i, stat in enumerate(STATS)}
        if any(times)
        else None,
        "outages": _outages([i for i, found in enumerate(times) if found]),
    }


def reach_series(points: Sequence[Point], name: str) -> list[float | None]:
    """Of the members that messages of a name were owed to, those who got them, in percent; None without."""
    found = [point.heard.get(name) for point in points]
    return [None if heard is None else round(100 * heard[1] / heard[0], 3) for heard in found]


def drill_series(
    mark: Mapping[str, Json], points: Sequence[Point], calls: Collection[int]
) -> dict[str, Json]:
    """What is drawn around a mark of a drill.

    Args:
        mark: as the report has it.
        points: oldest first.
        calls: numbers of the rows whose times count.

    Returns:
        `at`: the mark, in seconds of the run, as `end` of columns; `what` was done; `connections`; `connects`
        and `refused` attempts per second; `p99` of calls in ms.
    """
    at, until = mark["at_s"], mark["at_s"] + mark["watch_s"]
    before = min(BEFORE, at)
    step = max(1, math.ceil((before + mark["watch_s"]) / DRAWN))
    firsts = range(-int(before) // step * step, math.ceil(until - at), step)
    ends = [point.end for point in points]
    found: dict[str, list[Json]] = {name: [] for name in ("end", "connections", "connects", "refused", "p99")}
    for first in firsts:
        end = at + first + step
        place = bisect_left(ends, end)
        if place == len(points) or end <= 0:
            continue
        point = points[place]
        cells = [cell for number, cell in point.cells.items() if number in calls]
        times = functools.reduce(Cell.joined, cells).times if cells else ()
        found["end"].append(round(end, 2))
        found["connections"].append(
            round(sum(n for name, n in point.connections.items() if name != OPENING), 1)
        )
        if first < 0:
            found["connects"].append(round(point.opened / max(point.seconds, 1e-9), 1))
            found["refused"].append(None)
        else:
            for name, key in (("connects", "connects"), ("refused", "refusals")):
                found[name].append(round(sum(mark[key][first : first + step]) / step, 1))
        found["p99"].append(times[STATS.index("p99")] if times else None)
    return {"at": at, "what": clean_name(mark["command"] or mark["done"], 80), **found}


def _outages(seen: Sequence[int]) -> list[list[int]]:
    """Where more is missing between two points than usual: a row that is seldom used is no outage."""
    steps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    if not steps:
        return []
    usual = sorted(steps)[int(0.9 * (len(steps) - 1))]
    return [[i + 1, i + step - 1] for i, step in zip(seen, steps, strict=False) if step > 1.5 * usual]


def _spans(points: Sequence[Point]) -> list[float]:
    return [max(point.seconds, 1e-9) for point in points]


def _per_second(counts: Iterable[int], span: Sequence[float]) -> list[float]:
    return [n and round(n / seconds, 3) for n, seconds in zip(counts, span, strict=True)]
