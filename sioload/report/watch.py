"""Checks that may abort a run: judged once a second while it goes on, each on the last seconds before."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sioload.durations import duration_text
from sioload.report import words
from sioload.report.checks import Check, of_the_whole
from sioload.report.course import Course, Part
from sioload.report.evaluation import CheckResult, evaluate
from sioload.report.figures import Figures, between
from sioload.report.heard import TYPE

#: Former states that are kept for a check: its seconds are cut to this share.
KEPT: Final = 60
#: Seconds between two looks.
LOOK: Final = 0.9


class Watch:
    """Keeps what the checks' rows had counted a while ago, to judge what came since."""

    def __init__(self, checks: Sequence[Check], steady: float = 0.0) -> None:
        """
        Args:
            checks: those without `abort after` are left out.
            steady: seconds in which figures may come in one lump; rates, and counts that are to be high, are
                judged over no less.
        """
        self._checks = [check for check in checks if check.abort_after is not None]
        self._steady = steady
        self._states: dict[int, deque[tuple[float, Figures]]] = {}

    def feed(self, figures: Figures, course: Course, *, now: float, users: int) -> CheckResult | None:
        """Judge; returns the result that aborts the run, or None.

        Args:
            figures: of the run so far.
            course: how it goes.
            now: swarm clock.
            users: that live now.
        """
        for position, check in enumerate(self._checks):
            part = course.part(check.phase, check.after, now)
            if part is None or not part.since <= now or part.until < now:
                self._states.pop(position, None)
                continue
            result = self._judge(position, check, part, figures, now, users)
            if result is not None:
                return result
        return None

    def _judge(
        self, position: int, check: Check, part: Part, run: Figures, now: float, users: int
    ) -> CheckResult | None:
        states = self._states.get(position)
        if states is None:
            first = _before(run, part)
            if first is None:
                return None
            states = self._states[position] = deque([(part.since, _of(check, first, part))])
        counted = _of(check, run, part)
        assert check.abort_after is not None
        least = check.op in (">", ">=") and not check.about_time
        span = max(check.abort_after, self._steady if check.stat == "rate" or least else 0.0)
        while len(states) > 1 and states[1][0] <= now - span:
            states.popleft()
        since, earlier = states[0]
        if now - states[-1][0] >= max(LOOK, span / KEPT):
            states.append((now, counted))
        if since > now - span:
            return None
        whole = of_the_whole(check.stat)
        recent = run if whole else counted.since(earlier)
        result = evaluate(check, recent, duration=now - since, peak_users=users)
        if result.ok or not result.enough:
            return None
        lately = "" if whole else f" in the last {duration_text(round(now - since, 1))}"
        return replace(result, reason=f"{result.reason}{lately}, at {words.counted(users, 'user')}")


def _before(run: Figures, part: Part) -> Figures | None:
    """What was counted before a part of the run; None as long as that isn't known."""
    if part.begin == -math.inf:
        return Figures()
    passed = bool(run.windows) and run.windows[-1].end >= part.begin
    return between(run, end=part.begin) if passed else None


def _of(check: Check, figures: Figures, part: Part) -> Figures:
    """What a check is about, in a state that doesn't change any more.

    Messages to rooms are judged some time after they were heard: those of before may be so in this part.
    """
    audience = figures.audience.between(part.begin, part.end)
    rows = audience.rows() if check.selector == TYPE else figures.rows
    return Figures(
        rows=[row.copy() for row in rows if row.type == check.selector and check.matches(row.name)],
        ledger=copy.copy(figures.ledger),
        connections=copy.deepcopy(figures.connections),
        audience=audience,
        delivery={name: copy.copy(n) for name, n in figures.delivery.items() if check.matches(name)},
    )
