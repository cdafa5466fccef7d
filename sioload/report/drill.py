"""What a drill asks for, and what came of it: users that lost the session, their return, calm after it."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from sioload.measure.histogram import Histogram
from sioload.measure.outage import Outage
from sioload.plain import Json
from sioload.report.figures import Figures, Window, pieces_between
from sioload.report.heard import TYPE
from sioload.report.words import counted

#: The variable of the environment by which the command's settings come to the process that judges the run.
VARIABLE: Final = "SIOLOAD_DRILL"
#: Seconds before a mark whose calls tell what calm is; of a window after it; how many in a row must be calm.
BEFORE: Final = 30.0
WINDOW: Final = 5.0
CALM: Final = 2
#: Calm is a p99 within so many times that of before.
_CALM_FACTOR: Final = 1.5
_PERCENTILES: Final = (50.0, 90.0, 99.0)
_COUNTS: Final = ("lost", "not_back", "recovered_sessions", "peak_connects_per_s", "refused", "indeterminate",
                  "missed_pushes", "exit_code")  # fmt: skip
_TIMES: Final = {
    **{f"back_{name}": ("back_ms", name) for name in ("p50", "p90", "p99", "max")},
    **{f"server_noticed_{name}": ("server_noticed_ms", name) for name in ("p50", "p90", "p99", "max")},
}
#: Stats of checks; those of times, in seconds.
TIMED: Final = (*_TIMES, "calm_after")
STATS: Final = (*_COUNTS, *TIMED)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a drill does. Times in seconds.

    Attributes:
        at: when, from when all users have had a session.
        watch: how long each time is watched.
        command: what is run then; empty without.
        cut: which share of the connections is cut; 0 without.
        silent: without a word to the server.
    """

    at: Sequence[float]
    watch: float
    command: Sequence[str] = ()
    cut: float = 0.0
    silent: bool = False

    def text(self) -> str:
        """For an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Asked:
        """What `text` was called on."""
        return cls(**json.loads(text))


@dataclass(slots=True)
class Mark:
    """One time at which something is done to the server.

    Attributes:
        since, at, until: swarm clock: when what is calm is known from; then; and until when it is watched.
        exit_code: of the command; None without one, or if it was ended with the run.
        output: its last lines.
    """

    since: float
    at: float
    until: float
    exit_code: int | None = None
    output: str = ""

    @property
    def boundaries(self) -> list[float]:
        """Where the run must be cut to tell when it was calm again."""
        steps = range(1, math.ceil((self.until - self.at) / WINDOW))
        return [self.since, self.at, *(self.at + step * WINDOW for step in steps), self.until]


@dataclass(slots=True)
class _Tally:
    """What is asked of a part of the run.

    Attributes:
        calls: times of CALL.
        faults: failures, and exceptions of tasks.
        indeterminate: emits that ended so.
        gaps: pushes that were missed while reconnecting.
    """

    calls: Histogram = field(default_factory=Histogram)
    faults: int = 0
    indeterminate: int = 0
    gaps: int = 0

    def add(self, part: Figures) -> None:
        """Count this too. Messages to rooms belong to where they were heard, and are counted apart."""
        for row in part.rows:
            if row.type == "CALL":
                self.calls.merge(row.times)
            self.faults += row.failures if row.type != TYPE else 0
        self.faults += _raised(part)
        self.indeterminate += part.ledger.indeterminate
        self.gaps += sum(counts.reconnect_gaps for counts in part.delivery.values())

    def merge(self, other: _Tally) -> None:
        """Add what another part counted."""
        self.calls.merge(other.calls)
        self.faults += other.faults
        self.indeterminate += other.indeterminate
        self.gaps += other.gaps


def _of(window: Window) -> _Tally:
    """What a window counted: a watch has hundreds, most of them packed, and is looked at every second."""
    if isinstance(window.drilled, _Tally):
        return window.drilled
    tally = _Tally()
    tally.add(window.figures())
    if window.final:
        window.drilled = tally
    return tally


def _between(run: Figures, begin: float, end: float) -> _Tally | None:
    """What was counted between two boundaries, as `figures.between` has it."""
    pieces = pieces_between(run, begin, end)
    if pieces is None:
        return None
    windows, rest = pieces
    found = _Tally()
    for window in windows:
        found.merge(_of(window))
    for part in rest:
        found.add(part)
    found.faults += sum(row.failures for row in run.audience.between(begin, end).rows())
    return found


def document(asked: Asked, marks: Sequence[Mark], figures: Figures, started: float) -> list[dict[str, Json]]:
    """What came of each mark that the run has come to, for its report.

    Args:
        started: when counting began, on the swarm's clock; what came of marks before that isn't known.
    """
    seen = {outage.at: outage for outage in figures.outages if outage.at >= started}
    return [_mark(asked, mark, seen[mark.at], figures, started) for mark in marks if mark.at in seen]


def _mark(asked: Asked, mark: Mark, seen: Outage, figures: Figures, started: float) -> dict[str, Json]:
    counted = _between(figures, mark.at, mark.until) or _Tally()
    before = _p99(figures, mark.since, mark.at)
    return {
        "at_s": round(mark.at - started, 3),
        "watch_s": round(mark.until - mark.at, 3),
        "done": _done(asked, mark),
        "command": shlex.join(asked.command) or None,
        "cut": asked.cut or None,
        "silent": asked.silent,
        "exit_code": mark.exit_code,
        "output": mark.output,
        "lost": seen.lost,
        "by_reason": dict(sorted(seen.by_reason.items())),
        "back_ms": _times(seen.back),
        "not_back": seen.away,
        "recovered_sessions": seen.recovered,
        "peak_connects_per_s": max(seen.connects.values(), default=0),
        "refused": sum(seen.refusals.values()),
        "indeterminate": counted.indeterminate,
        "missed_pushes": counted.gaps if figures.delivery else None,
        "server_noticed_ms": _times(seen.noticed),
        "p99_before_ms": None if before is None else round(before * 1000, 3),
        "calm_after_s": None if before is None else _calm(mark, figures, before),
        "connects": _by_second(seen.connects),
        "refusals": _by_second(seen.refusals),
    }


def _by_second(counts: Mapping[int, int]) -> list[int]:
    """One number for each second since the mark, to the last that isn't 0."""
    return [counts.get(second, 0) for second in range(max(counts, default=-1) + 1)]


def _done(asked: Asked, mark: Mark) -> str:
    """What was done, in words."""
    if not asked.command:
        return f"{asked.cut * 100:g} % of the connections cut" + (" silently" if asked.silent else "")
    code = "still running" if mark.exit_code is None else f"exit code {mark.exit_code}"
    return f"{shlex.join(asked.command)} ({code})"


def _times(times: Histogram) -> dict[str, float] | None:
    """Percentiles and maximum in ms; None without samples."""
    if not times.total:
        return None
    found = {
        f"p{p:g}": round(s * 1000, 3)
        for p, s in zip(_PERCENTILES, times.percentiles(_PERCENTILES), strict=True)
    }
    return {**found, "max": round(times.max * 1000, 3)}


def _p99(figures: Figures, begin: float, end: float) -> float | None:
    """Of calls between two boundaries; None without."""
    counted = _between(figures, begin, end)
    return counted.calls.percentile(99) if counted is not None and counted.calls.total else None


def _calm(mark: Mark, figures: Figures, before: float) -> float | None:
    """Seconds until the first of some windows in a row whose calls are as fast as before; None if never.

    What is left of the watch behind its last whole window is none.
    """
    whole = int((mark.until - mark.at) / WINDOW + 1e-3)
    edges = mark.boundaries[1:][: whole + 1]
    calm = 0
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        found = _p99(figures, begin, end)
        calm = calm + 1 if found is not None and found <= _CALM_FACTOR * before else 0
        if calm == CALM:
            return (number + 1 - CALM) * WINDOW
    return None


def outside(marks: Sequence[Mark], figures: Figures) -> int:
    """Failures, and exceptions of tasks, that a drill doesn't explain: before a mark, or after its watch."""
    found = _raised(figures) + sum(row.failures for row in figures.rows)
    for mark in marks:
        counted = _between(figures, mark.at, mark.until if mark is not marks[-1] else math.inf)
        found -= 0 if counted is None else counted.faults
    return found


def _raised(figures: Figures) -> int:
    return sum(count for count, _ in figures.population.exceptions.values())


def values(stat: str, marks: Sequence[Mapping[str, Json]]) -> list[float | None]:
    """A stat of each mark, times in seconds; None where there is none."""
    found: list[float | None] = []
    for mark in marks:
        if stat in _TIMES:
            part, name = _TIMES[stat]
            times = mark[part]
            found.append(None if times is None else times[name] / 1000)
        else:
            found.append(mark["calm_after_s" if stat == "calm_after" else stat])
    return found


def lines(marks: Sequence[Mapping[str, Json]]) -> list[str]:
    """What came of each, in words."""
    return [_told(mark) for mark in marks]


def _told(mark: Mapping[str, Json]) -> str:
    parts = [f"at {mark['at_s']:.1f} s {mark['done']}: {counted(mark['lost'], 'user')} lost their session"]
    if mark["by_reason"]:
        parts[0] += " (" + ", ".join(f"{n} {reason}" for reason, n in mark["by_reason"].items()) + ")"
    back = mark["back_ms"]
    if back is not None:
        parts.append(f"back after p50 {back['p50'] / 1000:.2f} s, p99 {back['p99'] / 1000:.2f} s")
    parts.append(f"{mark['not_back']} not back")
    if mark["recovered_sessions"]:
        parts.append(f"{counted(mark['recovered_sessions'], 'session')} recovered")
    peak = counted(mark["peak_connects_per_s"], "connect")
    parts.append(f"{counted(mark['refused'], 'attempt')} refused, up to {peak} a second")
    parts.append(f"{counted(mark['indeterminate'], 'emit')} indeterminate")
    if mark["missed_pushes"] is not None:
        parts.append(f"{counted(mark['missed_pushes'], 'push')} missed")
    noticed = mark["server_noticed_ms"]
    if noticed is not None:
        parts.append(f"the server noticed after p50 {noticed['p50'] / 1000:.1f} s")
    return "; ".join([*parts, _calm_told(mark)])


def _calm_told(mark: Mapping[str, Json]) -> str:
    calm, watch = mark["calm_after_s"], mark["watch_s"]
    if calm is not None:
        return f"calls calm after {calm:g} s"
    if mark["p99_before_ms"] is None:
        return "no calls before it, to tell what calm is"
    if watch < CALM * WINDOW:
        return f"watched too short to tell when calls are calm: {watch:g} s, not {CALM * WINDOW:g}"
    return f"calls not calm within {watch:g} s"
