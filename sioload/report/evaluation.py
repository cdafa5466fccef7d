"""Whether checks hold: what each of them measures of the figures, and what is said of it.

What can be asked, and how that is written, stands in `report/checks.py`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sioload.measure.delivery import DeliveryCounts
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report import drill, servers
from sioload.report.checks import DELIVERY, ELSEWHERE, HEARD, OPERATORS, SPREAD, Check, percent_of, timed
from sioload.report.figures import Figures
from sioload.report.heard import TYPE, Heard
from sioload.report.words import counted, rounded


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of a check.

    Attributes:
        ok: it holds.
        value: what was measured, for people.
        reason: why it isn't ok; empty if it is.
        enough: there were enough samples to judge by.
        measured: that value, in the unit of the check's limit; None where there is none.
    """

    check: Check
    ok: bool
    value: str
    reason: str
    enough: bool
    measured: float | None = field(default=None, compare=False)

    @property
    def failed(self) -> bool:
        """Whether it makes the run fail."""
        return not self.ok and not self.check.warn

    def document(self) -> dict[str, Json]:
        """As reports show it."""
        return {"check": self.check.text, "ok": self.ok, "value": self.value, "warn": self.check.warn,
                "reason": self.reason}  # fmt: skip


def evaluate(check: Check, figures: Figures, *, duration: float, peak_users: int) -> CheckResult:
    """Judge the figures by a check.

    Args:
        check: the check.
        figures: of the run so far, of the whole run, or of the part of it that the check is about.
        duration: seconds that this lasts or lasted.
        peak_users: the most users at a time in it.
    """
    measured: float | None
    if check.selector == "server":
        return _of_servers(check, figures.servers)
    if check.selector == "drill":
        return _of_drill(check, figures)
    if check.selector in ELSEWHERE:
        measured, samples = _elsewhere(check, figures, duration, peak_users)
        needed, what = check.min_samples or 0, "emit"
    else:
        measured, samples = _measure(check, figures, duration)
        needed, what = 1 if check.min_samples is None else check.min_samples, "sample"
    if samples < needed:
        value = counted(samples, what) if samples else f"no {what}s"
        near = "" if samples else next(filter(None, (of(check, figures) for of in _CAUSES)), "")
        reason = f"{value}, where {needed} {'is' if needed == 1 else 'are'} needed{near}"
        return CheckResult(check, False, value, reason, enough=False)
    if measured is None:
        return CheckResult(check, True, "no samples", "", enough=False)
    value, limit = _told(check, measured)
    waits = sum(r.unfinished for r in figures.rows if r.type == check.selector and check.matches(r.name))
    if waits and timed(check.stat):
        value += f" ({waits} unfinished)"
    ok = OPERATORS[check.op](measured, check.limit)
    reason = "" if ok else f"{check.stat} is {value}, not {check.op} {limit}"
    return CheckResult(check, ok, value, reason, enough=True, measured=measured)


def _of_drill(check: Check, figures: Figures) -> CheckResult:
    """Judge what came of a drill, by the worst of its marks."""
    # Nobody comes back where nobody was lost.
    marks = [each for each in figures.drill if each["lost"] or not check.stat.startswith("back_")]
    found = drill.values(check.stat, marks)
    known = [value for value in found if value is not None]
    if not found or len(known) < len(found):
        none = bool(figures.drill) and not found
        value = "nobody was lost" if none else "none"
        reason = "" if none else f"no {check.stat} was measured" if found else "nothing was drilled"
        return CheckResult(check, none, value, reason, enough=False)
    missed = [value for value in known if not OPERATORS[check.op](value, check.limit)]
    worst = (min if check.op in (">", ">=") else max)(missed or known)
    value, limit = _told(check, worst)
    reason = f"{check.stat} is {value}, not {check.op} {limit}" if missed else ""
    return CheckResult(check, not missed, value, reason, enough=True)


def _of_servers(check: Check, metrics: Sequence[servers.Metric]) -> CheckResult:
    """Judge the figures of servers."""
    found = [each for each in metrics if any(map(check.matches, each.names))]
    samples, needed = sum(each.count for each in found), 1 if check.min_samples is None else check.min_samples
    if samples < max(needed, 1):
        near = difflib.get_close_matches(
            check.name or "", [each.names[1] for each in metrics], n=1, cutoff=0.0
        )
        value = counted(samples, "reading") if samples else "no readings"
        reason = f"{value}, where {needed} {'is' if needed == 1 else 'are'} needed"
        reason += f"; the nearest figure is {near[0]}" if near and not found else ""
        return CheckResult(check, not needed, value, reason if needed else "", enough=False)
    ok, value, reason = servers.judge(
        found, check.stat, OPERATORS[check.op], check.op, check.limit, check.unit
    )
    return CheckResult(check, ok, value, reason, enough=True)


def _nearest(check: Check, figures: Figures) -> str:
    """Which row may have been meant by a check that matched none: by its name, else of its type."""
    if check.name is None or any(r.type == check.selector and check.matches(r.name) for r in figures.rows):
        return ""
    wanted = check.name.strip("*").lower()

    def likeness(row: Totals) -> tuple[bool, bool, float]:
        name = row.name.lower()
        whole = wanted in (name, name.rpartition(" ")[2])  # it may stand behind its namespace
        return whole, row.type == check.selector, difflib.SequenceMatcher(None, wanted, name).ratio()

    rows = [row for row in figures.rows if row.count]
    best = max(rows, key=likeness, default=None)
    if best is None or not (likeness(best)[0] or best.type == check.selector):
        return f"; there is no row of type {check.selector}"
    return f"; the nearest row is {best.type}[{best.name}]"


def _unjudged(check: Check, figures: Figures) -> str:
    """How many messages to rooms there were, if there was no time to judge any."""
    if check.selector != TYPE:
        return ""
    heard = figures.audience.names().items()
    unjudged = sum(each.unjudged for name, each in heard if check.matches(name))
    told = "none was judged: the run has to go on for --sio-grace after it"
    return f"; of {counted(unjudged, 'message')} {told}" if unjudged else ""


def _uncounted(check: Check, figures: Figures) -> str:
    """What a check on delivery lacks, if no push that it matches is counted by its number."""
    if check.stat not in DELIVERY or any(check.matches(name) for name in figures.delivery):
        return ""
    return "; give their handler @on(..., delivery=lambda push: (stream, number)), which numbers the pushes"


#: Why a check may have found no sample, the first that applies.
_CAUSES: Final = (_unjudged, _nearest, _uncounted)


def _elsewhere(check: Check, figures: Figures, duration: float, peak_users: int) -> tuple[float, int]:
    """The value of a stat that isn't of rows, and the number of emits."""
    connections = figures.connections
    values: dict[str, float] = {
        **figures.ledger.encode(),
        "peak_users": peak_users,
        "duration": duration,
        "workers_lost": len(figures.lost),
        "opened": connections.opened,
        "upgraded": connections.upgraded,
        "closed": sum(connections.closed.values()),
        "current": sum(connections.current.values()),
    }
    return values[check.stat], figures.ledger.emits


def _measure(check: Check, figures: Figures, duration: float) -> tuple[float | None, int]:
    """The value of a stat over the matching rows, and how many samples it rests on."""
    stat = check.stat
    if stat in DELIVERY:
        pushes = DeliveryCounts()
        for name, counts in figures.delivery.items():
            if check.matches(name):
                pushes.merge(counts)
        return getattr(pushes, stat), pushes.expected
    if stat in (*HEARD, "reach") or stat.startswith(SPREAD):
        return _heard(check, figures)
    rows = [row for row in figures.rows if row.type == check.selector and check.matches(row.name)]
    row = rows[0] if len(rows) == 1 else Totals(check.selector, "")
    if len(rows) > 1:
        for other in rows:
            row.merge(other)
    if timed(stat):
        times = row.times
        if not times.total:
            return None, 0
        percent = percent_of(stat)
        return (getattr(times, stat) if percent is None else times.percentile(percent)), times.total
    if stat == "rate":
        return (row.count / duration if duration > 0 else 0.0), row.count
    return getattr(row, stat), row.count + row.skipped + row.unfinished


def _heard(check: Check, figures: Figures) -> tuple[float | None, int]:
    """The value of a stat of audiences, and how many messages it rests on."""
    heard = Heard()
    for name, of_name in figures.audience.names().items():
        if check.matches(name):
            heard.merge(of_name)
    stat = check.stat
    if stat == "reach":
        return (heard.reached / heard.owed if heard.owed else None), heard.messages
    if not stat.startswith(SPREAD):
        count = getattr(heard, stat)
        return count, heard.messages + heard.unjudged or count  # strays may be of messages owed to nobody
    if not heard.spread.total:
        return None, 0
    percent = percent_of(stat)
    time = (
        getattr(heard.spread, stat.removeprefix(SPREAD))
        if percent is None
        else heard.spread.percentile(percent)
    )
    return time, heard.spread.total


def _told(check: Check, measured: float) -> tuple[str, str]:
    """What was measured and the limit, as people read them; in full where that would look alike but isn't."""
    value, limit = (_shown(check.stat, each) for each in (measured, check.limit))
    if value == limit and measured != check.limit:
        value, limit = (_in_full(check.stat, each) for each in (measured, check.limit))
    return value, limit


def _in_full(stat: str, value: float) -> str:
    if stat in ("fail_ratio", "reach"):
        return f"{rounded(value * 100, 9)}%"
    return f"{rounded(value, 9)}{'/s' if stat == 'rate' else ' s'}"


def _shown(stat: str, value: float) -> str:
    if timed(stat):
        return f"{servers.digits(value * 1000)} ms" if value < 10 else f"{value:.2f} s"
    if stat == "duration":
        return f"{value:.1f} s"
    if stat == "fail_ratio":
        return f"{rounded(value * 100, 4)}%"
    if stat == "reach":
        parts = math.floor(round(value * 1_000_000, 6))
        return f"{parts / 10_000:.7g}%"  # what isn't all must not look so
    return f"{value:.2f}/s" if stat == "rate" else f"{value:.10g}"
