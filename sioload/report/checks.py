"""Checks: conditions on the merged figures that a run must meet.

    SELECTOR: STAT OP VALUE [in PHASE] [after DURATION] [abort after DURATION] [warn] [min_samples N]

This file says what can be asked, and `report/evaluation.py` what comes of it.

A selector is a row type (`GET`, `POST` and so on for HTTP requests) with an optional name in brackets, in
which `*` stands for any text; `ledger`; `run`; `connections`; `drill`; or `server[SOURCE/METRIC]`, a figure
of a server (`report/servers.py`). All rows that it matches are measured as one: counts add up and percentiles
are those of all samples together. Without a name it matches every row of its type except `(probe)`.

A check on rows needs `min_samples` samples (default 1) or it fails: timed ones for a time, expected pushes
for the delivery counts, messages for those of audiences, all samples otherwise. `min_samples 0` lets a check
pass that matched nothing.

`in PHASE` judges exactly what was counted in that phase, `after` leaves out so much of its beginning, or of
the run's. With `abort after`, the check is also evaluated once a second while the run, or that part of it,
goes on: on what was counted in so many seconds before. When it doesn't hold there, the run is aborted. Having
too few samples doesn't count as a violation.
"""

from __future__ import annotations

import difflib
import operator
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from sioload.durations import UNITS, seconds_of
from sioload.errors import CheckError
from sioload.measure.ledger import OUTCOMES
from sioload.measure.names import unlabelled
from sioload.measure.row_types import HTTP_TYPES, ROW_TYPES, row_type
from sioload.report import drill, servers
from sioload.report.heard import SHOWN, TYPE

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

#: What people write for stats of times.
_SYNONYMS: Final = {"p0": "min", "p100": "max", "avg": "mean", "average": "mean", "median": "p50"}
_TIMES: Final = ("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")
_PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,7})?)")
_COUNTS: Final = ("count", "rate", "failures", "fail_ratio", "skipped", "unfinished")
DELIVERY: Final = ("lost", "duplicated", "reordered", "expected", "received", "reconnect_gaps", "behind")
#: Types whose pushes can carry a sequence number.
_DELIVERED: Final = ("PUSH", "RECV")
#: Of FANOUT: what became of messages and their audiences, and times from the first arrival to the last.
HEARD: Final = SHOWN
SPREAD: Final = "spread_"
#: Stats that are ratios, from 0 to 1.
_RATIOS: Final = ("fail_ratio", "reach")
ELSEWHERE: Final = {
    "ledger": ("emits", *OUTCOMES, "open", "late_acks"),
    "run": ("peak_users", "duration", "workers_lost"),
    "connections": ("opened", "upgraded", "closed", "current"),
}
SELECTORS: Final = (*ROW_TYPES, *HTTP_TYPES, *ELSEWHERE, "server", "drill")
#: What people write for an operator.
_MEANT: Final = {"=": "==", "===": "==", "=<": "<=", "=>": ">=", "<>": "!=", "!": "!=", "~=": "=="}
_CLAUSES: Final = ("in", "after", "abort after", "warn", "min_samples")
#: Stats that only the whole run has.
_WHOLE: Final = ("open", "workers_lost")

_SELECTOR = re.compile(r"\s*([^\s\[:]+)\s*(?:\[(.*)\])?\s*:(.*)", re.DOTALL)
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*([<>=!~]+|[^\s\w]+|\s\S+)\s*(\S+)(.*)", re.DOTALL)
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Check:
    """One check, parsed.

    Attributes:
        text: as it was written.
        selector: a row type, "ledger", "run", "connections", "server" or "drill".
        name: pattern of row names; None for all rows of the type.
        stat: what is measured; times in seconds, ratios from 0 to 1.
        op: one of `OPERATORS`; "+" or "-" in a change between runs (`report/changes.py`).
        limit: what it is compared with, in the same unit.
        abort_after: seconds whose figures abort the run if it doesn't hold in them; None for never.
        warn: a failure is reported, but doesn't fail the run.
        min_samples: samples without which it fails; None for the selector's default.
        phase: the phase that it judges; None for the whole run.
        after: seconds of the beginning, of the run or of the phase, that aren't judged.
        unit: in which a limit on a figure of a server is given.
    """

    text: str
    selector: str
    name: str | None
    stat: str
    op: str
    limit: float
    abort_after: float | None = None
    warn: bool = False
    min_samples: int | None = None
    phase: str | None = None
    after: float = 0.0
    unit: str = ""

    @property
    def about_time(self) -> bool:
        """Whether its outcome depends on how fast the generator itself is."""
        return timed(self.stat) and self.selector != "server"

    def matches(self, name: str) -> bool:
        """Whether a row of the type and of this name is meant."""
        if self.name is None:
            return unlabelled(name) != "(probe)"
        return re.fullmatch(".*".join(map(re.escape, self.name.split("*"))), name, re.DOTALL) is not None


def parse(text: str) -> Check:
    """A check from its text.

    Raises:
        CheckError: names what is wrong with it, and the nearest valid name.
    """
    selector, name, rest = selected(text)
    condition = _CONDITION.fullmatch(rest)
    if condition is None:
        raise CheckError(f"check {text!r}: after the selector comes STAT OP VALUE, as in 'p99 < 250ms'")
    stat, op, value, clauses = (part.strip() for part in condition.groups())
    check_stat(text, selector, stat)
    if op not in OPERATORS:
        raise _unknown(text, "operator", op, [_MEANT[op]] if op in _MEANT else OPERATORS)
    tokens = clauses.split()
    if tokens and (tokens[0] in UNITS or tokens[0] == "%"):
        value += tokens.pop(0)
    abort_after, warn, min_samples, phase, after = _clauses(text, tokens)
    if stat in _WHOLE and (phase is not None or after):
        raise CheckError(f"check {text!r}: {stat!r} is of the whole run, not of a part of it")
    if min_samples is not None and selector in ("run", "connections", "drill"):
        raise CheckError(f"check {text!r}: {selector!r} has no samples, so min_samples means nothing")
    unit = ""
    if selector in ("server", "drill") and (phase is not None or after or abort_after is not None):
        raise CheckError(f"check {text!r}: a {selector}'s figures are judged over the whole run")
    if selector == "server":
        limit, unit = _server_limit(text, name or "", value)
    else:
        limit = limit_of(text, stat, value)
    text = text.strip().encode(errors="replace").decode()  # a command line may hold what is no Unicode
    return Check(text, selector, name, stat, op, limit, abort_after, warn, min_samples, phase, after, unit)


def selected(text: str) -> tuple[str, str | None, str]:
    """Selector, name, and what follows them.

    Raises:
        CheckError: there is no such selector, or it takes no name.
    """
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise CheckError(f"check {text!r}: write SELECTOR: STAT OP VALUE, as in 'CALL[message]: p99 < 250ms'")
    selector, name, rest = found.groups()
    if selector not in SELECTORS:
        raise _unknown(text, "row type", selector, SELECTORS)
    if name is not None and (selector in ELSEWHERE or selector == "drill"):
        raise CheckError(f"check {text!r}: {selector!r} takes no name in brackets")
    return selector, name, rest


def parse_toml(text: str) -> list[Check]:
    """The checks of a TOML text: `checks = ["CALL: p99 < 250ms", ...]`.

    Raises:
        CheckError: it isn't TOML, holds something else, or a check is wrong.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CheckError(f"the checks file isn't valid TOML: {error}") from error
    for key in data:
        if key != "checks":
            raise CheckError(f"the checks file holds {key!r}, but only 'checks' is known")
    checks = data.get("checks")
    if not isinstance(checks, list) or not all(isinstance(check, str) for check in checks):
        raise CheckError('the checks file must hold a list of texts: checks = ["CALL: p99 < 250ms"]')
    return [parse(check) for check in checks]


def checks_in(path: str) -> list[Check]:
    """The checks of a TOML file.

    Raises:
        CheckError: it can't be read, or see `parse_toml`; names the file.
    """
    try:
        return parse_toml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckError(f"can't read {path}: {error.strerror}") from error
    except (CheckError, UnicodeDecodeError) as error:
        raise CheckError(f"{path}: {error}") from error


def _unknown(text: str, what: str, given: str, valid: Iterable[str]) -> CheckError:
    folded = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.0)
    return CheckError(f"check {text!r}: unknown {what} {given!r} (nearest: {folded[near[0]]!r})")


def percent_of(stat: str) -> float | None:
    """The percentile that a stat is: `p99.95`."""
    found = _PERCENTILE.fullmatch(stat.removeprefix(SPREAD))
    percent = float(found[1]) if found is not None else 0.0
    return percent or None


def timed(stat: str) -> bool:
    """Whether a stat is a time, in seconds."""
    own = stat.removeprefix(SPREAD)
    return own in _TIMES or stat in drill.TIMED or percent_of(stat) is not None


def check_stat(text: str, selector: str, stat: str) -> None:
    """Refuse a stat that what is selected hasn't got.

    Raises:
        CheckError: names the nearest that it has, or where the stat belongs.
    """
    if selector == "server":
        if stat not in servers.STATS:
            raise _unknown(text, "stat of a server's figure", stat, servers.STATS)
        return
    if selector == "drill":
        if stat not in drill.STATS:
            raise _unknown(text, "stat of a drill", stat, drill.STATS)
        return
    if selector in ELSEWHERE:
        if stat not in ELSEWHERE[selector]:
            raise _unknown(text, f"stat of {selector}", stat, ELSEWHERE[selector])
        return
    heard = stat in (*HEARD, "reach") or stat.startswith(SPREAD)
    if stat not in (*_COUNTS, *DELIVERY, *HEARD, "reach") and (not timed(stat) or stat in drill.TIMED):
        known = (*_COUNTS, *_TIMES, *DELIVERY, *HEARD, "reach", f"{SPREAD}p99")
        raise _unknown(text, "stat", stat, [_SYNONYMS[stat]] if stat in _SYNONYMS else known)
    if heard and selector != TYPE:
        raise CheckError(f"check {text!r}: {stat!r} is of messages to rooms: use it with {TYPE}")
    if timed(stat) and not row_type(selector).timed:
        raise CheckError(f"check {text!r}: {selector} rows carry no time, so {stat!r} means nothing")
    if stat in DELIVERY and selector not in _DELIVERED:
        raise CheckError(f"check {text!r}: {stat!r} is of pushes: use it with {' or '.join(_DELIVERED)}")


def _seconds(text: str, value: str) -> float:
    seconds = seconds_of(value)
    if seconds is not None:
        return seconds
    found = _NUMBER.fullmatch(value)
    if found is None:
        raise CheckError(
            f"check {text!r}: {value!r} is no time; write a number and a unit, as in 250ms or 2m"
        )
    if not found[2]:
        raise CheckError(f"check {text!r}: {value!r} needs a unit: us, ms, s, m or h")
    raise _unknown(text, "unit", found[2], reversed(UNITS))


def _server_limit(text: str, name: str, value: str) -> tuple[float, str]:
    if "/" not in name:
        raise CheckError(f"check {text!r}: name source and figure, as in 'server[api/event_loop_lag]'")
    try:
        return servers.limit_of(name.rpartition("/")[2], value)
    except ValueError as error:
        raise CheckError(f"check {text!r}: {error}") from error


def limit_of(text: str, stat: str, value: str) -> float:
    """The number that a stat is compared with: seconds, a ratio from 0 to 1, or a count.

    Raises:
        CheckError: it isn't written as the stat asks for.
    """
    if timed(stat) or stat == "duration":
        return _seconds(text, value)
    found = _NUMBER.fullmatch(value)
    if found is None:
        raise CheckError(f"check {text!r}: {value!r} is no number")
    number, unit = float(found[1]), found[2]
    if stat not in _RATIOS:
        if unit and not (stat == "rate" and unit == "/s"):
            raise CheckError(
                f"check {text!r}: {stat!r} is a number without a unit, but {value!r} has {unit!r}"
            )
        return number
    if unit not in ("", "%"):
        raise _unknown(text, "unit of a ratio", unit, ["%"])
    # 99.9 / 100 of floats is a hair above 999 of 1000, which would then be less.
    ratio = float(Decimal(found[1]) / 100) if unit else number
    if ratio > 1:
        raise CheckError(f"check {text!r}: a ratio is from 0 to 1, or from 0% to 100%; {value!r} is more")
    return ratio


def _clauses(text: str, tokens: list[str]) -> tuple[float | None, bool, int | None, str | None, float]:
    abort_after: float | None = None
    warn = False
    min_samples: int | None = None
    phase: str | None = None
    after: float | None = None
    while tokens:
        token = tokens.pop(0)
        if token == "warn" and not warn:
            warn = True
        elif token == "min_samples" and min_samples is None:
            number = tokens.pop(0) if tokens else ""
            if not re.fullmatch("[0-9]{1,15}", number):
                raise CheckError(f"check {text!r}: min_samples takes a whole number, not {number!r}")
            min_samples = int(number)
        elif token == "abort" and abort_after is None:
            if tokens[:1] != ["after"] or len(tokens) < 2:
                raise CheckError(f"check {text!r}: write 'abort after DURATION', as in 'abort after 10s'")
            abort_after = _seconds(text, tokens[1])
            del tokens[:2]
        elif token == "in" and phase is None:
            if not tokens:
                raise CheckError(f"check {text!r}: write 'in PHASE', as in 'in peak'")
            phase = tokens.pop(0)
        elif token == "after" and after is None:
            if not tokens:
                raise CheckError(f"check {text!r}: write 'after DURATION', as in 'after 20s'")
            after = _seconds(text, tokens.pop(0))
        elif token in ("warn", "min_samples", "abort", "in", "after"):
            raise CheckError(f"check {text!r}: {token!r} stands twice")
        else:
            raise _unknown(text, "word", token, _CLAUSES)
    return abort_after, warn, min_samples, phase, after or 0.0


def of_the_whole(stat: str) -> bool:
    """Whether only the whole run has this stat."""
    return stat in _WHOLE
