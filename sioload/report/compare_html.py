"""A comparison of runs as one HTML file: the table, and both curves of each row that has times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from markupsafe import Markup

from sioload.measure.blocks import JOINED, Block
from sioload.measure.histogram import Histogram, value
from sioload.plain import Json
from sioload.report import compare_text, markup
from sioload.report.runs import Row, Run

#: Rows whose curves are in the file: those with the most samples.
ROWS: Final = 40
#: Where the curves by percentile are drawn: 1 - 10^-x of the samples, each nine ten steps.
_NINES: Final = [step / 10 for step in range(51)]


def page(comparison: Mapping[str, Json], before: Sequence[Run], after: Sequence[Run]) -> str:
    """The whole page."""
    return markup.page(
        "compare.html",
        comparison=comparison,
        headline=compare_text.headline(comparison),
        legend=compare_text.LEGEND,
        rows=[*compare_text.rows(comparison), *compare_text.elsewhere(comparison)],
        label=compare_text.label,
        shown=compare_text.shown,
        change=compare_text.change,
        asked=compare_text.asked,
        styles=Markup(markup.static("uPlot.min.css") + markup.static("sioload.css")),
        scripts=Markup(markup.static("uPlot.min.js") + markup.static("compare.js")),
        data=Markup(markup.script_json(_curves(before, after))),
    )


def _curves(before: Sequence[Run], after: Sequence[Run]) -> list[dict[str, Json]]:
    """For each row both curves by percentile, of all runs of a side, and both p99 over time, of the first."""
    sides = [[_timed(run) for run in side] for side in (before, after)]
    keys = {key: row.count for side in sides for rows in side for key, row in rows.items()}
    busiest = sorted(keys, key=lambda key: -keys[key])[:ROWS]
    found = []
    for key in busiest:
        wholes = [_merged(rows[key] for rows in side if key in rows) for side in sides]
        first = [side[0].get(key) for side in sides]
        found.append(
            {
                "title": " ".join(key),
                "nines": _NINES,
                "percentiles": [_by_percentile(whole) for whole in wholes],
                "time": [
                    [] if row is None else _over_time(run[0], row)
                    for run, row in zip((before, after), first, strict=True)
                ],
            }
        )
    return found


def _timed(run: Run) -> dict[tuple[str, str], Row]:
    return {(row.type, row.name): row for row in run.rows if row.times is not None and row.times.total}


def _merged(rows: Iterable[Row]) -> Histogram:
    whole = Histogram()
    for row in rows:
        if row.times is not None:
            whole.merge(row.times)
    return whole


def _by_percentile(times: Histogram) -> list[float | None]:
    """Milliseconds at each of `_NINES`, as far as there are samples."""
    if not times.total:
        return [None] * len(_NINES)
    most = math.log10(times.total)
    found = times.percentiles(100 * (1 - 10**-nines) for nines in _NINES)
    return [
        float(f"{ms * 1000:.4g}") if nines <= most else None for ms, nines in zip(found, _NINES, strict=True)
    ]


def _over_time(run: Run, row: Row) -> list[tuple[float, float]]:
    """The middle of each block, in seconds since the run's start, and its p99 in ms."""
    span = run.document.get("blocks") or {}
    return [
        (round(span["start_s"] + (number + 0.5) * span["seconds"], 1), p99)
        for number, block in sorted(row.blocks.items())
        if (p99 := _p99(block)) is not None
    ]


def _p99(block: Block) -> float | None:
    left = 0.99 * sum(block.buckets.values())
    for i, n in sorted(block.buckets.items()):
        left -= n
        if left <= 0:
            return float(f"{value((i << JOINED) + 2) * 1000:.4g}")
    return None
