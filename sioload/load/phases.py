"""The grammar of phases, and the load that a plan of them asks for at each moment.

    PHASE; PHASE; ...          PHASE is  [NAME:] LOAD (for | over) DURATION

LOAD is `N users`, `A..B users`, `R/s` or `A..B/s` (new sessions per second). `A..B` goes in a straight line,
`N users over T` in a straight line from the load before to N, and `for` goes to N and stays. Phases without a
name are called by their place, `1`, `2` and so on.

Pure: time enters as seconds since the plan's start.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from sioload.durations import duration_text, seconds_of
from sioload.errors import PhaseError
from sioload.report.words import plain

_NAME = re.compile(r"[A-Za-z][\w-]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_TOKEN = re.compile(r"\.\.|[^\s:./;]+(?:\.(?!\.)[^\s:./;]+)*|[:/.]")
#: The variable of the environment that tells what a run without phases is like: Locust's options, as JSON.
USUAL: Final = "SIOLOAD_USUAL"
#: The variable of the environment by which commands that make a load of their own leave out the phases of a
#: project's locust.conf or pyproject.toml.
UNPHASED: Final = "SIOLOAD_UNPHASED"
#: The longest plan: a month.
_LONGEST: Final = 31 * 86_400.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase.

    Attributes:
        name: unique in its plan.
        begin, end: users, or sessions per second, at its beginning and at its end.
        seconds: how long it lasts.
        ramp: it was written with `over`.
    """

    name: str
    begin: float
    end: float
    seconds: float
    ramp: bool

    def load(self, at: float) -> float:
        """Users, or sessions per second, `at` seconds after its beginning."""
        return self.begin + (self.end - self.begin) * min(1.0, max(0.0, at / self.seconds))

    @property
    def level(self) -> bool:
        """Whether its load stays what it is."""
        return self.begin == self.end


@dataclass(frozen=True, slots=True)
class Plan:
    """Phases, one after the other.

    Attributes:
        per_second: the loads are sessions per second, not users.
    """

    phases: tuple[Phase, ...]
    per_second: bool

    @property
    def starts(self) -> list[float]:
        """When each phase begins, and when the last one ends."""
        return [0.0, *accumulate(phase.seconds for phase in self.phases)]

    @property
    def seconds(self) -> float:
        """How long all of it lasts."""
        return self.starts[-1]

    def at(self, now: float) -> int | None:
        """Which phase is on; None once the last one is over."""
        for number, end in enumerate(self.starts[1:]):
            if now < end:
                return number
        return None

    def load(self, now: float) -> float:
        """What is asked for at a moment; 0 once it is over."""
        number = self.at(now)
        return self.phases[number].load(now - self.starts[number]) if number is not None else 0.0

    def slots(self) -> Iterator[float]:
        """When each session begins, for a plan of sessions per second.

        The n-th begins when the integral of the rate reaches n, so each phase gets its share to within one.
        """
        done = 0.0  # sessions that the phases before asked for
        due = 0
        for start, phase in zip(self.starts, self.phases, strict=False):
            slope = (phase.end - phase.begin) / phase.seconds
            total = (phase.begin + phase.end) / 2 * phase.seconds
            while due < done + total - 1e-9:
                owed = max(0.0, due - done)
                # begin * t + slope / 2 * t^2 = owed, in the form that no cancellation spoils
                root = math.sqrt(max(0.0, phase.begin**2 + 2 * slope * owed))
                yield start + (2 * owed / (phase.begin + root) if owed else 0.0)
                due += 1
            done += total

    def __str__(self) -> str:
        """A text that parses to the same plan."""
        return "; ".join(self._text(phase) for phase in self.phases)

    def _text(self, phase: Phase) -> str:
        span = plain(phase.begin) if phase.level else f"{plain(phase.begin)}..{plain(phase.end)}"
        name = f"{phase.name}: " if _NAME.fullmatch(phase.name) else ""
        word = "over" if phase.ramp else "for"
        return f"{name}{span}{'/s' if self.per_second else ' users'} {word} {duration_text(phase.seconds)}"


def parse_phases(text: str | Sequence[str]) -> Plan:
    """A plan from its text, or from a list of such texts.

    Raises:
        PhaseError: it can't be understood; the message points at the place.
    """
    joined = text if isinstance(text, str) else "; ".join(text)
    phases: list[Phase] = []
    kinds: set[bool] = set()
    offset = 0
    for part in joined.split(";"):
        if part.strip():
            reader = _Reader(joined, part, offset)
            before = phases[-1].end if phases else 0.0
            phase, per_second = reader.phase(before, len(phases) + 1)
            if any(phase.name == other.name for other in phases):
                raise reader.wrong(0, "the name is taken by an earlier phase")
            kinds.add(per_second)
            if len(kinds) > 1:
                raise reader.wrong(0, "users and sessions per second don't mix in one run")
            phases.append(phase)
        offset += len(part) + 1
    if not phases:
        raise PhaseError(f"phases: there is none in {joined!r} (e.g. 'warmup: 0..200 users over 1m')")
    plan = Plan(tuple(phases), kinds.pop())
    if plan.seconds > _LONGEST:
        raise PhaseError(f"phases: {duration_text(plan.seconds)} is longer than a month")
    return plan


class _Reader:
    """Reads one phase, word by word."""

    def __init__(self, whole: str, part: str, offset: int) -> None:
        self._whole = whole
        self._words = [(found[0], offset + found.start()) for found in _TOKEN.finditer(part)]
        self._end = offset + len(part.rstrip())
        self._next = 0

    def wrong(self, number: int, why: str) -> PhaseError:
        """An error that points at a word of this phase, by its place, or at the end."""
        place = self._words[number][1] if number < len(self._words) else self._end
        shown = self._whole[max(0, place - 40) : place] + "-->" + self._whole[place : place + 40]
        return PhaseError(f"phases, character {place + 1}: {why}: {shown.strip()}")

    def _peek(self) -> str:
        return self._words[self._next][0] if self._next < len(self._words) else ""

    def _take(self) -> str:
        word = self._peek()
        self._next += 1
        return word

    def _fail(self, word: str, expected: str, valid: Sequence[str] = ()) -> PhaseError:
        """An error that points at the word that was taken last."""
        near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
        hint = f" (nearest: {near[0]!r})" if near else ""
        found = repr(word) if word else "nothing"
        return self.wrong(self._next - 1, f"expected {expected}, found {found}{hint}")

    def phase(self, before: float, place: int) -> tuple[Phase, bool]:
        """The phase, and whether its load is sessions per second. `before` is the load that it follows."""
        name = str(place)
        if len(self._words) > 1 and self._words[1][0] == ":":
            name = self._take()
            if not _NAME.fullmatch(name):
                raise self.wrong(0, "a name begins with a letter and has letters, digits, - and _")
            self._take()
        begin = self._number()
        end: float | None = None
        if self._peek() == "..":
            self._take()
            end = self._number()
        per_second = self._unit()
        word = self._take()
        if word not in ("for", "over"):
            raise self._fail(word, "for or over", ("for", "over"))
        seconds = self._duration()
        if rest := self._peek():
            raise self.wrong(self._next, f"{rest!r} is too much: phases are parted by ';'")
        whole = (begin, end if end is not None else begin)
        if not per_second and any(value != int(value) for value in whole):
            raise self.wrong(0, "users are whole numbers")
        if end is None:
            begin, end = (before if word == "over" else begin), begin
        return Phase(name, begin, end, seconds, word == "over"), per_second

    def _number(self) -> float:
        word = self._take()
        if not _NUMBER.fullmatch(word) or float(word) > 1e9:
            raise self._fail(word, "a number (at most 1000000000)")
        return float(word)

    def _unit(self) -> bool:
        word = self._take()
        if word == "/" and self._peek() == "s":
            self._take()
            return True
        if word not in ("users", "user"):
            raise self._fail(word, "users or /s", ("users", "/s"))
        return False

    def _duration(self) -> float:
        word = self._take()
        seconds = seconds_of(word)
        if not seconds or seconds < 1e-6:  # `duration_text` writes no less
            raise self._fail(word, "a duration above 0 such as 30s, 5m or 1m30s")
        return seconds
