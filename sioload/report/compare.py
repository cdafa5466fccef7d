"""Whether runs are worse than those before: row by row, and whether a change can be told from noise."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sioload.errors import UsageError
from sioload.measure.histogram import PERCENTILES
from sioload.measure.row_types import ROW_TYPES
from sioload.plain import Json
from sioload.report import noise
from sioload.report.checks import DELIVERY, ELSEWHERE, HEARD, Check, percent_of, timed
from sioload.report.noise import Estimate
from sioload.report.runs import Row, Run, limits, one_sided, why_not

#: Stats of a row that are compared, if it has them.
_TIMES: Final = ("mean", *(f"p{percent:g}" for percent in PERCENTILES))
#: A change that is shown as none.
_NONE: Final = 0.02
_ORDER: Final = list(ROW_TYPES)

REPEAT: Final = "may be noise: repeat"
NOISE: Final = "noise"
UNJUDGED: Final = "not judged"


@dataclass(frozen=True, slots=True)
class Change:
    """One stat before and after.

    Attributes:
        before, after: seconds, per second, or a ratio; None where there was nothing to measure.
        real: it is no noise; None where that can't be judged.
        verdict: that in words.
    """

    stat: str
    before: float | None
    after: float | None
    real: bool | None
    verdict: str

    @property
    def share(self) -> float | None:
        """By what share of what it was it has changed; from 0 infinite."""
        if self.before is None or self.after is None:
            return None
        if not self.before:
            return math.inf if self.after else 0.0
        return self.after / self.before - 1

    def document(self) -> dict[str, Json]:
        """In JSON: times in ms; the change from 0 is null."""
        factor = 1000 if timed(self.stat) else 1
        values = [None if value is None else round(value * factor, 6) for value in (self.before, self.after)]
        share = self.share
        finite = share is not None and math.isfinite(share)
        return {
            "stat": self.stat,
            "unit": "ms" if timed(self.stat) else "" if self.stat in ("fail_ratio", "current") else "/s",
            "before": values[0],
            "after": values[1],
            "change": round(share, 6) if share is not None and finite else None,
            "real": self.real,
            "verdict": self.verdict,
        }


def compared(
    before: Sequence[Run], after: Sequence[Run], fail_on: Iterable[tuple[Check, bool]] = ()
) -> dict[str, Json]:
    """What changed between the runs of two sides, as a JSON-able document.

    Args:
        before, after: repeats of one run each.
        fail_on: changes that are too much, as `parse_change` gives them.

    Raises:
        UsageError: one of these matches no row of any run.
    """
    runs = [*before, *after]
    reasons = [*limits(runs), *one_sided(before, after)]
    for other in runs[1:]:
        reasons += why_not(runs[0], other)
    judged = [_judged(check, relative, before, after) for check, relative in fail_on]
    keys = {(row.type, row.name): row for run in runs for row in run.rows}
    rows = [
        {"type": row.type, "name": row.name, "stats": [c.document() for c in _changes(row, before, after)]}
        for row in sorted(keys.values(), key=_place)
    ]
    return {
        "before": [_run(run) for run in before],
        "after": [_run(run) for run in after],
        "comparable": not reasons,
        "reasons": reasons,
        "notes": _notes(runs),
        "rows": rows,
        "ledger": _elsewhere("ledger", before, after),
        "connections": _elsewhere("connections", before, after),
        "fail_on": judged,
        "exit_code": 3 if any(each["failed"] for each in judged) else 0,
    }


def _place(row: Row) -> tuple[int, str, str]:
    return _ORDER.index(row.type) if row.type in _ORDER else len(_ORDER), row.type, row.name


def _run(run: Run) -> dict[str, Json]:
    document = run.document
    return {
        "file": run.path,
        "started": document.get("started", ""),
        "host": document.get("host", ""),
        "users": document["users"]["peak"],
        "duration_s": run.seconds,
        "sioload": document["sioload"],
    }


def _notes(runs: Sequence[Run]) -> list[str]:
    return [
        f"{run.path} has no blocks of time (schema {run.document['schema']}): nothing can be told from noise"
        for run in runs
        if not run.judged
    ]


def _changes(row: Row, before: Sequence[Run], after: Sequence[Run]) -> list[Change]:
    """All stats of a row that there are on one side at least."""
    stats = ["rate", "fail_ratio"]
    known = [each for run in (*before, *after) for each in run.rows if _is(each, row)]
    if any(each.latency for each in known):
        stats = [*_TIMES, "max", *stats]
    found = []
    for stat in stats:
        sides = [[_of_row(_only(run, row), stat, run) for run in side] for side in (before, after)]
        found.append(_change(stat, sides, [*before, *after]))
    return found


def _is(one: Row, other: Row) -> bool:
    return (one.type, one.name) == (other.type, other.name)


def _only(run: Run, row: Row) -> Row:
    return next((each for each in run.rows if _is(each, row)), Row(row.type, row.name))


def _elsewhere(selector: str, before: Sequence[Run], after: Sequence[Run]) -> list[dict[str, Json]]:
    found = []
    for stat in ELSEWHERE[selector]:
        sides = [[_counted(run, selector, stat) for run in side] for side in (before, after)]
        change = _change(stat, sides, [*before, *after])
        if change.before or change.after:
            found.append(change.document())
    return found


def _change(stat: str, sides: Sequence[Sequence[Estimate | None]], runs: Sequence[Run]) -> Change:
    """A stat before and after, of each run of both sides."""
    one, other = ([each for each in side if each is not None] for side in sides)
    if not one or not other:
        values = [noise.typical(side) if side else None for side in (one, other)]
        return Change(stat, values[0], values[1], None, UNJUDGED)
    was, now = noise.typical(one), noise.typical(other)
    percent = percent_of(stat)
    tail = stat == "max" or (percent is not None and percent > noise.TAIL)
    real = noise.real(one, other, tail=tail) if all(run.judged for run in runs) else None
    if was == now or (was and abs(now / was - 1) < _NONE):
        word = "" if real is not None else UNJUDGED
        return Change(stat, was, now, False if real is not None else None, word)
    if real is None:
        word = UNJUDGED
    elif not real:
        word = NOISE if min(len(one), len(other)) >= noise.REPEATS else REPEAT
    elif timed(stat) or stat == "fail_ratio":
        word = "real, worse" if now > was else "real, better"
    else:
        word = "real"
    return Change(stat, was, now, real, word)


def _of_row(row: Row, stat: str, run: Run) -> Estimate | None:
    """A stat of a row in one run; None where there is nothing to measure."""
    blocks = row.blocks.values()
    if timed(stat):
        return _time(row, stat)
    if stat == "fail_ratio":
        return noise.ratio(row.failures, row.count, blocks) if row.count else None
    if stat in ("rate", "count"):
        return noise.rate(row.count, run.seconds, _whole(run, row, "count"))
    if stat == "failures":
        return noise.rate(row.failures, run.seconds, _whole(run, row, "failures"))
    return noise.rate(int(getattr(row, stat)), run.seconds)


def _whole(run: Run, row: Row, count: str) -> list[int]:
    """What each block counted, but for the first and the last, which the run doesn't fill."""
    if not row.blocks:
        return []
    numbers = range(1, run.document["blocks"]["number"] - 1)
    return [getattr(row.blocks[number], count) if number in row.blocks else 0 for number in numbers]


def _time(row: Row, stat: str) -> Estimate | None:
    if row.times is None:
        shown = row.latency.get(stat)
        return None if shown is None else Estimate(shown / 1000, math.inf)
    if not row.times.total:
        return None
    percent = percent_of(stat)
    if percent is not None:
        return noise.percentile(row.times, row.blocks.values(), percent)
    if stat == "mean":
        return noise.mean(row.times, row.blocks.values())
    return Estimate(row.times.min if stat == "min" else row.times.max, math.inf)


def _counted(run: Run, selector: str, stat: str) -> Estimate:
    """A count of the ledger or of connections, per second."""
    value: Json = run.document[selector].get(stat, 0)
    number = sum(value.values()) if isinstance(value, dict) else int(value)
    return noise.rate(number, 1.0 if stat == "current" else run.seconds)


def _judged(check: Check, relative: bool, before: Sequence[Run], after: Sequence[Run]) -> dict[str, Json]:
    """Whether a stat moved further than it may."""
    sides = [[_measured(check, run) for run in side] for side in (before, after)]
    change = _change(check.stat, sides, [*before, *after])
    failed, reason = False, ""
    if change.before is None or change.after is None:
        _must_match(check, [*before, *after])
        # What isn't there any more is no better than it was.
        failed = change.before is not None
        reason = "nothing was measured " + ("after" if failed else "before")
    else:
        moved = change.after - change.before
        share = change.share
        by = (share if share is not None else 0.0) if relative else moved
        beyond = by > check.limit if check.op == "+" else -by > check.limit
        failed = beyond and bool(change.real)
        reason = change.verdict or f"less than {_NONE:.0%} is no change" if beyond else "within"
    return {"fail_on": check.text, **change.document(), "failed": failed, "reason": reason}


def _measured(check: Check, run: Run) -> Estimate | None:
    if check.selector in ELSEWHERE:
        return _counted(run, check.selector, check.stat)
    if check.stat in (*DELIVERY, *HEARD):
        counted = run.document.get("delivery" if check.stat in DELIVERY else "audience", [])
        counts = [each.get(check.stat, 0) for each in counted if check.matches(each["name"])]
        return noise.rate(sum(counts), run.seconds) if counts else None
    rows = [row for row in run.rows if row.type == check.selector and check.matches(row.name)]
    if len(rows) == 1:
        return _of_row(rows[0], check.stat, run)
    merged = Row(check.selector, "")
    for row in rows:
        merged.merge(row)
    if merged.times is None and timed(check.stat):
        raise UsageError(
            f"{check.text!r} matches several rows of {run.path}, whose schema 1 has no histograms to add up: "
            "name one"
        )
    return _of_row(merged, check.stat, run)


def _must_match(check: Check, runs: Sequence[Run]) -> None:
    rows = {f"{row.type}[{row.name}]": row for run in runs for row in run.rows}
    if any(row.type == check.selector and check.matches(row.name) for row in rows.values()):
        return
    near = difflib.get_close_matches(f"{check.selector}[{check.name or ''}]", rows, n=1, cutoff=0.0)
    hint = f" (nearest: {near[0]})" if near else ""
    raise UsageError(f"{check.text!r} matches no row of any of these runs{hint}")
