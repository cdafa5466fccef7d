"""The phases of a run as it goes: when each begins, and the parts that checks ask for; swarm clock."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sioload.durations import duration_text
from sioload.errors import CheckError
from sioload.plain import Json
from sioload.report.checks import Check
from sioload.report.evaluation import CheckResult
from sioload.report.events import calls_of, event_of, latency_ms
from sioload.report.figures import Figures, between

#: Seconds after which users that a phase asks for at once have been spawned.
CHANGE: Final = 3.0
#: What a check measured on a part that the run hasn't come to.
UNREACHED: Final = "not reached"


@dataclass(frozen=True, slots=True)
class Span:
    """One phase, in seconds of the swarm's clock.

    Attributes:
        most: users that the plan has in it at most; None for a plan of sessions.
        text: as the plan has it.
        level: its load stays what it is.
    """

    name: str
    begin: float
    end: float
    most: int | None = None
    text: str = ""
    level: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run, in seconds of the swarm's clock.

    Attributes:
        begin, end: boundaries; infinite for the run's own beginning and end.
        since, until: when it begins and ends, as far as that is known.
    """

    begin: float
    end: float
    since: float
    until: float

    def figures(self, run: Figures) -> Figures | None:
        """What was counted in it; None if the run hasn't come to it."""
        return between(run, self.begin, self.end)


@dataclass(frozen=True, slots=True)
class Course:
    """How a run goes.

    Attributes:
        started: when counting began, on the swarm's clock.
        spans: its phases; empty without, and before they begin.
        fresh: boundaries of the levels of a search for capacity, at which every pace begins anew, and whether
            the load changes there.
    """

    started: float
    spans: Sequence[Span] = ()
    fresh: Mapping[float, bool] = field(default_factory=dict)

    def boundaries(self, checks: Iterable[Check]) -> list[float]:
        """Where the figures must be cut, for the phases and for these checks."""
        times = {span.begin for span in self.spans[1:]} | self.fresh.keys()
        for check in checks:
            part = self.part(check.phase, check.after, math.inf)
            if part is not None and part.begin > -math.inf:
                times.add(part.begin)
        return sorted(times)

    @property
    def ramps(self) -> list[tuple[float, float]]:
        """When the number of users changes: all of a phase that is a ramp, the beginning of another."""
        levels = [(at, at + CHANGE) for at, changes in self.fresh.items() if changes]
        return levels + [
            (span.begin, span.begin + CHANGE if span.level else span.end)
            for span in self.spans
            if span.most is not None
        ]

    def part(self, phase: str | None, after: float, now: float) -> Part | None:
        """The part of the run that a check is about; None for a phase that isn't known yet.

        Args:
            phase: its name; None for the whole run.
            after: seconds of its beginning that are left out.
            now: when the run ended, or now, on the swarm's clock.
        """
        if phase is None:
            begin = self.started + after if after else -math.inf
            return Part(begin, math.inf, self.started + after, now)
        for number, span in enumerate(self.spans):
            if span.name == phase:
                begin = span.begin + after if after or number else -math.inf
                last = number == len(self.spans) - 1
                since = max(span.begin + after, self.started)
                if last:  # what users do until they are stopped is in it
                    return Part(begin, math.inf, since, now)
                return Part(begin, span.end, since, min(span.end, now))
        return None

    def at(self, now: float) -> Span | None:
        """The phase that is on."""
        return next((span for span in self.spans if span.begin <= now < span.end), None)

    def document(self, figures: Figures, now: float) -> list[dict[str, Json]]:
        """The phases that the run has come to, for the report.

        Args:
            figures: of the run.
            now: when the run ended, or now, on the swarm's clock.
        """
        found = []
        open_before = 0
        for span in self.spans:
            part = self.part(span.name, 0.0, now)
            if part is None or span.end <= self.started or part.since >= now:
                continue
            closing = next((w for w in figures.windows if w.end == part.end), None)
            shown = closing.shown if closing is not None else None
            if shown is None:
                counted = part.figures(figures)
                if counted is None:
                    break
                shown = self._phase(span, part, counted, figures, open_before)
                heard = closing is None or figures.audience.settled >= closing.end
                if closing is not None and closing.final and heard:
                    closing.shown = shown
            open_before = shown["ledger"]["open_at_end"]
            found.append(shown)
        return found

    def _phase(
        self, span: Span, part: Part, counted: Figures, figures: Figures, open_before: int
    ) -> dict[str, Json]:
        opening = next((w for w in figures.windows if w.end == part.begin), None)
        first = next((w.users for w in figures.windows if w.begin == part.begin), None)
        if first is None:
            first = figures.cut.population.now if figures.cut is not None else 0
        users = counted.population
        last = users.now if users.stopped is None else users.stopped
        peak = users.peak if span.most is None else min(users.peak, max(span.most, first, last))
        ledger = counted.ledger.encode()
        grown = ledger.pop("open")
        seconds = part.until - part.since
        calls = calls_of(counted.rows)
        return {
            "name": span.name,
            "load": span.text,
            "began": round(part.since, 3),
            "start_s": round(part.since - self.started, 3),
            "end_s": round(min(part.until, span.end) - self.started, 3),
            "seconds": round(seconds, 3),
            "cut_ms": None if opening is None else round(opening.late * 1000, 3),
            "users": {"start": first, "end": last, "peak": peak, "begun": users.begun},
            "calls": {
                "count": calls.count,
                "failures": calls.failures,
                "rate": round(calls.count / seconds, 3) if seconds > 0 else 0.0,
                "latency_ms": latency_ms(calls.times),
            },
            "failures": sum(row.failures for row in counted.rows),
            "events": [event_of(row, counted.clock_error, seconds) for row in counted.rows],
            "ledger": {**ledger, "open_at_start": open_before, "open_at_end": open_before + grown},
            "connections": counted.connections.encode(),
            "bytes": {"sent": counted.bytes_sent, "received": counted.bytes_received},
            "delivery": [{"name": n, **counted.delivery[n].encode()} for n in sorted(counted.delivery)],
            "audience": counted.audience.document(),
        }


def check_parts(checks: Iterable[Check], lengths: Mapping[str, float]) -> None:
    """Refuse checks on phases that there aren't.

    Args:
        checks: of the run.
        lengths: phase to its seconds.

    Raises:
        CheckError: names the check, and the nearest phase.
    """
    for check in checks:
        if check.phase is None:
            continue
        length = lengths.get(check.phase)
        if length is None:
            near = difflib.get_close_matches(check.phase, lengths, n=1, cutoff=0.0)
            known = f"nearest: {near[0]!r}" if near else "the run has none: give --sio-phases"
            raise CheckError(f"check {check.text!r}: unknown phase {check.phase!r} ({known})")
        if check.after >= length:
            raise CheckError(
                f"check {check.text!r}: after {duration_text(check.after)} nothing is left of the phase "
                f"{check.phase!r}, which lasts {duration_text(length)}"
            )


def to_come(check: Mapping[str, Json], report: Mapping[str, Json]) -> bool:
    """Whether a check of a report is on what hasn't begun yet: the run, or a part of it."""
    waits = check["value"] == UNREACHED and not report["final"]
    return not check["ok"] and (waits or not report["duration_s"])


def unreached(check: Check, *, ended: bool) -> CheckResult:
    """The result of a check on a part that the run hasn't come to."""
    of = "" if check.phase is None else f" of the phase {check.phase!r}"
    if not ended:
        reason = "the run hasn't come to it yet"
    elif check.after:
        reason = f"the run ended before {duration_text(check.after)}{of} had passed"
    else:
        reason = f"the run never reached the phase {check.phase!r}"
    return CheckResult(check, False, UNREACHED, reason, enough=False)


def check_sources(checks: Iterable[Check], *, servers: bool, drilled: bool) -> None:
    """Refuse checks on figures that the run won't have.

    Args:
        checks: of the run; what only warns, or takes no samples for well, may be of other runs.
        servers: figures of servers are read.
        drilled: the run is a drill.

    Raises:
        CheckError: names the check, and where its figures come from.
    """
    for check in checks:
        if check.warn or check.min_samples == 0:
            continue
        if check.selector == "server" and not servers:
            told = "no server's figures are read: give --sio-server NAME=URL or --sio-admin URL"
            raise CheckError(f"check {check.text!r}: {told}")
        if check.selector == "drill" and not drilled:
            raise CheckError(f"check {check.text!r}: this run is no drill: `sioload drill` makes one")
