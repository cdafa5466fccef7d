"""The history of a run as columns of numbers, for charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sioload.measure.history import STATS, Cell, Point


def regular(points: Sequence[Point], most: int) -> list[Point]:
    """The same history in at most `most` points of about the same length."""
    if not points:
        return []
    step = (points[-1].end - points[0].start) / most
    step = max(step, *(point.seconds for point in points)) * 0.999
    found: list[Point] = []
    for point in points:
        if found and found[-1].seconds < step:
            found[-1] = found[-1].joined(point)
        else:
            found.append(point)
    return found


def series(points: Sequence[Point], rows: Iterable[int]) -> dict[str, Any]:
    """The points as columns for charts: plain numbers, `None` where there is nothing to show.

    Args:
        points: oldest first.
        rows: numbers of the rows whose rates and times are wanted.

    Returns:
        `end` and `seconds` of each point; `users`; `connections` by transport; `opened`, `upgraded` and
        `closed` (by reason) per second; `processes` with `cpu` in cores and `own` and `machine` lag in ms; `rows`
        by number with `rate` and `failures` per second, and `times` in ms by `STATS`, None for a row without
        times.
    """
    span = [max(point.seconds, 1e-9) for point in points]

    def per_second(counts: Iterable[int]) -> list[float]:
        return [_short(n / seconds) for n, seconds in zip(counts, span, strict=True)]

    transports = sorted({key for point in points for key in point.connections})
    reasons = sorted({key for point in points for key in point.closed})
    processes = sorted({key for point in points for key in point.processes})
    return {
        "end": [round(point.end, 2) for point in points],
        "seconds": [round(point.seconds, 2) for point in points],
        "users": [_short(point.users) for point in points],
        "connections": {key: [_short(p.connections.get(key, 0)) for p in points] for key in transports},
        "opened": per_second(point.opened for point in points),
        "upgraded": per_second(point.upgraded for point in points),
        "closed": {key: per_second(point.closed.get(key, 0) for point in points) for key in reasons},
        "processes": {
            name: {
                column: [
                    None if (found := point.processes.get(name)) is None else _short(found[i] * factor)
                    for point in points
                ]
                for i, (column, factor) in enumerate((("cpu", 1), ("own", 1000), ("machine", 1000)))
            }
            for name in processes
        },
        "rows": {number: _row([point.cells.get(number) for point in points], span) for number in rows},
    }


def _row(cells: Sequence[Cell | None], span: Sequence[float]) -> dict[str, Any]:
    pairs = list(zip(cells, span, strict=True))
    timed = any(cell is not None and cell.times for cell in cells)
    return {
        "rate": [0 if cell is None else _short(cell.count / seconds) for cell, seconds in pairs],
        "failures": [0 if cell is None else _short(cell.failures / seconds) for cell, seconds in pairs],
        "times": {
            stat: [None if cell is None or not cell.times else _short(cell.times[i] * 1000) for cell in cells]
            for i, stat in enumerate(STATS)
        }
        if timed
        else None,
    }


def _short(value: float) -> float | int:
    """Four significant digits: enough for a chart, and half the size."""
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short
