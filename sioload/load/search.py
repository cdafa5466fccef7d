"""Which load to try next, from how the ones before went: the search for what a server holds.

Levels double from the first until one fails; the gap between the highest that held and the lowest that failed
is halved until it is narrow enough; what held is confirmed by a level of double length. Pure: it knows loads
and verdicts, neither users nor time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

#: Why a search is over: both sides of the limit were seen; more load gained no throughput; the highest load
#: asked for held; the time was used up; the generator was the limit; no level held; someone ended it.
Reason = Literal["limit", "plateau", "cap", "budget", "generator", "first level", "interrupted"]
#: Two doublings that gain less than this are a plateau.
_GAIN: Final = 1.05


@dataclass(frozen=True, slots=True)
class Level:
    """How one load went.

    Attributes:
        load: users, or sessions per second.
        held: every check held, and enough of the users were connected.
        throughput: acks and pushes per second.
        narrow: it failed, but each failed check was missed by less than a tenth.
        limited: the generator was the limit, so that the level says nothing about the server.
        long: it was measured for twice the time, to confirm an earlier one.
    """

    load: int
    held: bool
    throughput: float
    narrow: bool = False
    limited: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The next load to try; `long`: for twice the time."""

    load: int
    long: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a search.

    Attributes:
        holds: the highest load that held; None if none did, or none twice where one was to be confirmed.
        breaks: the lowest load above it that failed; None if none did.
        confirmed: it held for twice the time as well.
    """

    holds: int | None
    breaks: int | None
    reason: Reason
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.

    Attributes:
        first, last: the loads `A..B`.
        within: how wide the gap between what holds and what breaks may stay, as a share of what holds.
    """

    first: int
    last: int
    within: float = 0.05

    def following(self, levels: Sequence[Level]) -> Step | Answer:
        """What comes after these levels."""
        if not levels:
            return Step(self.first)
        last = levels[-1]
        if last.limited:
            return self.ended(levels, "generator")
        same = [level for level in levels if (level.load, level.long) == (last.load, last.long)]
        if last.narrow and len(same) == 1:
            return Step(last.load, last.long)
        holds, breaks = _bounds(levels)
        if holds is None:
            return self.ended(levels, "limit" if any(level.held for level in levels) else "first level")
        reason = self._wide_enough(levels, holds, breaks)
        doubted = any(level.long and not level.held for level in levels)
        if (reason or doubted) and not _confirmed(levels, holds):
            return Step(holds, long=True)
        if reason:
            return self.ended(levels, reason)
        return Step(min(2 * holds, self.last) if breaks is None else (holds + breaks) // 2)

    def ended(self, levels: Sequence[Level], reason: Reason) -> Answer:
        """What is known when the search ends here."""
        holds, breaks = _bounds(levels)
        return Answer(holds, breaks, reason, holds is not None and _confirmed(levels, holds))

    def _wide_enough(self, levels: Sequence[Level], holds: int, breaks: int | None) -> Reason | None:
        """Why no other load needs to be tried."""
        if breaks is not None:
            return "limit" if breaks - holds <= max(1, self.within * holds) else None
        if holds >= self.last:
            return "cap"
        gained = [level.throughput for level in levels if level.held and not level.long]
        return "plateau" if len(gained) > 2 and gained[-1] < _GAIN * gained[-3] else None


def _bounds(levels: Sequence[Level]) -> tuple[int | None, int | None]:
    """The highest load that held below the lowest that failed, and that one, by what was measured last."""
    verdicts = {level.load: level.held for level in levels if not level.limited}
    breaks = min((load for load, held in verdicts.items() if not held), default=None)
    below = [load for load, held in verdicts.items() if held and (breaks is None or load < breaks)]
    return max(below, default=None), breaks


def _confirmed(levels: Sequence[Level], load: int) -> bool:
    return any(level.held and level.long for level in levels if level.load == load)
