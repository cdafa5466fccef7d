"""A search for what a server holds, in reports: what was asked, its levels, and what came out, in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sioload.durations import duration_text
from sioload.errors import NO_DESCRIPTORS, NO_PORTS, CheckError, UsageError
from sioload.measure.health import LIMITED, UNJUDGED
from sioload.plain import Json
from sioload.report import words
from sioload.report.checks import OPERATORS, Check, of_the_whole
from sioload.report.evaluation import CheckResult
from sioload.report.events import calls_of, event_of, latency_ms
from sioload.report.figures import Figures

#: Where the command puts what is asked, for the run that it becomes.
VARIABLE: Final = "SIOLOAD_CAPACITY"
#: By which a level fails whose users aren't in.
CONNECTED: Final = "connected"
_REACHED: Final = Check(CONNECTED, "connections", None, "current", ">=", 0.99)
#: A check that is missed by less than this share is missed narrowly.
_NARROW: Final = 0.1
_EXPECT: Final = re.compile(r"\s*(>=|>)\s*([0-9]{1,9})\s*")
#: What ended a search, after the number.
_WHY: Final = {
    "cap": "that is the most that was asked for, and nothing broke",
    "plateau": "more load gained no throughput: less than 5 % over the last two doublings",
    "budget": "the budget was used up before the limit was found",
    "interrupted": "the search was interrupted before the limit was found",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search is asked for, as it travels from the command to the run.

    Attributes:
        first, last: the loads `A..B`.
        arrivals: they are new sessions per second; else users.
        step, settle, budget: seconds.
        within: how wide the gap may stay, as a share of what holds.
        expect: such as `>= 4000`, or "".
    """

    first: int
    last: int
    arrivals: bool
    step: float
    settle: float
    within: float
    budget: float
    expect: str = ""

    def text(self) -> str:
        """For an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Asked:
        """What `text` was called on."""
        return cls(**json.loads(text))

    @property
    def unit(self) -> str:
        """What is counted."""
        return "sessions per second" if self.arrivals else "users"


def expectation(text: str) -> tuple[str, int]:
    """The operator and the number of a text such as `>= 4000`.

    Raises:
        UsageError: it is another.
    """
    found = _EXPECT.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is nothing that can be expected: give e.g. '>= 4000'")
    return found[1], int(found[2])


def judged_by_level(checks: Sequence[Check]) -> None:
    """Refuse checks that can't be judged on one level alone.

    Raises:
        CheckError: names the first of them, or says that there is none.
    """
    if not checks:
        raise CheckError("a search needs a check that tells what holds: --sio-check 'CALL: p99 < 250ms'")
    for check in checks:
        part = "in" if check.phase else "after" if check.after else "abort after" if check.abort_after else ""
        if part:
            raise CheckError(f"check {check.text!r}: each level is judged as a whole: leave {part!r} out")
        if check.selector in ("server", "drill") or of_the_whole(check.stat):
            whole = "a drill" if check.selector == "drill" else "the whole run"
            raise CheckError(f"check {check.text!r}: {check.stat!r} is of {whole}, not of a level")


def narrowly(results: Iterable[CheckResult]) -> bool:
    """Whether each check that failed was missed by less than a tenth."""
    return all(_narrow(result) for result in results if result.failed)


def _narrow(result: CheckResult) -> bool:
    measured, limit = result.measured, result.check.limit
    if measured is None or not limit or result.check.op in ("==", "!="):
        return False
    return abs(measured - limit) < _NARROW * limit


def connected(load: int, live: int, within: int, *, arrivals: bool, died: int = 0) -> CheckResult:
    """Whether a level was reached: nearly all of its users are in.

    Args:
        load: users, or sessions per second.
        live: users that live.
        within: those of them that are in.
        arrivals: sessions: those of the last second may be on their way still.
        died: sessions that did so instead, while it settled.
    """
    due = max(0, live - load) if arrivals else load
    of = due + died if arrivals else load
    share = min(due, within) / of if of else 1.0
    value = f"{within} of {live + died if arrivals else load}"
    ok = share >= _REACHED.limit
    reason = "" if ok else f"{value} were in at the end of settling, not 99 %"
    return CheckResult(_REACHED, ok, value, reason, enough=True, measured=share)


def unconnected(results: Iterable[CheckResult]) -> bool:
    """Whether a level failed because its users aren't in."""
    return any(result.failed and result.check is _REACHED for result in results)


def without_rows(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Which feeds had no row for users of a level; how often each had none, before it and now."""
    found = {name: n - before.get(name, 0) for name, n in now.items()}
    return [f"{words.counted(n, 'user')} found no row of {name} free: give it more rows, or fewer users"
            for name, n in found.items() if n > 0]  # fmt: skip


def undialled(figures: Figures) -> list[str]:
    """What this machine lacked for connections of a level."""
    found = Counter[str]()
    for row in figures.rows:
        if row.type == "DIAL":
            found.update({text: row.errors.get(text, 0) for text in (NO_DESCRIPTORS, NO_PORTS)})
    return [f"{words.counted(n, 'connection')} couldn't be dialled from here: {text}"
            for text, n in found.items() if n]  # fmt: skip


def lived(begun: int, died: int) -> CheckResult:
    """Whether nearly all sessions of a level got on: of those that die at once, no row tells.

    Args:
        begun: sessions that began in it.
        died: sessions that died in it, for want of a connection or of a row, or of an exception.
    """
    share = 1.0 - died / begun if begun else 1.0
    ok, value = share >= _REACHED.limit, f"{begun - died} of {begun}"
    reason = "" if ok else f"{died} of {words.counted(begun, 'session')} died"
    return CheckResult(_REACHED, ok, value, reason, enough=True, measured=share)


def level_of(
    counted: Figures,
    results: Sequence[CheckResult],
    *,
    load: int,
    users: int,
    connected: int,
    seconds: float,
    health: Mapping[str, Json],
    limited: bool,
    long: bool,
    began: float,
    lacked: Sequence[str] = (),
) -> dict[str, Json]:
    """A level, for the report.

    Args:
        counted: in it; while it settled, if it wasn't reached.
        results: of its checks.
        load: users, or sessions per second.
        users, connected: that lived, and that were in, at the end of settling.
        seconds: that it was measured for.
        health: as `judge` made it of the level.
        limited: the generator was the limit.
        long: it confirmed an earlier one.
        began: seconds from the run's start to when it began to be measured.
        lacked: what the generator lacked for its users, in words.
    """
    pushes = sum(row.count - row.failures for row in counted.rows if row.type in ("PUSH", "RECV"))
    answers = counted.ledger.acked + pushes
    return {
        "load": load,
        "users": users,
        "connected": connected,
        "ok": not any(result.failed for result in results) and not limited,
        "limited": limited,
        "lacked": list(lacked),
        "confirming": long,
        "start_s": round(began, 3),
        "end_s": round(began + seconds, 3),
        "answers_per_s": round(answers / seconds, 3) if seconds > 0 else 0.0,
        "latency_ms": latency_ms(calls_of(counted.rows).times),
        "events": [event_of(row, counted.clock_error, seconds) for row in counted.rows],
        "health": health,
        "checks": [each.document() for each in results],
    }


def met(expect: str, holds: int | None, unit: str) -> CheckResult:
    """Whether what was expected came out."""
    op, number = expectation(expect)
    check = Check(f"capacity {op} {number}", "run", None, "peak_users", op, number)
    if holds is None:
        return CheckResult(check, False, "no number", "no number was found", enough=False)
    ok, value = OPERATORS[op](holds, number), so_many(holds, unit)
    return CheckResult(check, ok, value, "" if ok else f"it holds {value}, not {op} {number}", enough=True)


def so_many(load: int, unit: str) -> str:
    """A load in words; `unit` as in `Asked`."""
    what, space, rest = unit.partition(" ")
    return f"{words.counted(load, what.removesuffix('s'))}{space}{rest}"


def failed_by(level: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The first check that a level failed by."""
    return next((each for each in level["checks"] if not each["ok"] and not each["warn"]), None)


def name_of_failure(level: Mapping[str, Json]) -> str:
    """By what a level failed, in few words."""
    by = failed_by(level)
    return by["check"] if by is not None else "generator limited"


def document(asked: Asked, levels: Sequence[Mapping[str, Json]], **answer: Json) -> dict[str, Json]:
    """The report's `capacity`.

    Args:
        asked: what was.
        levels: each as `level_of` gave it, in their order.
        answer: `holds`, `breaks`, `reason` and `confirmed`.
    """
    broken = _last(levels, answer["breaks"], ok=False)
    by = failed_by(broken) if broken is not None else None
    found = {
        **answer,
        "by": None if by is None else by["check"],
        "unit": asked.unit,
        "asked": {"from": asked.first, "to": asked.last},
        "levels": list(levels),
    }
    return {**found, "summary": _sentence(found)}


def _last(levels: Sequence[Mapping[str, Json]], load: int | None, *, ok: bool) -> Mapping[str, Json] | None:
    """The newest level of this load that went so."""
    found = [level for level in levels if level["load"] == load and level["ok"] is ok]
    return found[-1] if found else None


def _sentence(found: Mapping[str, Json]) -> str:
    """What came out, in one sentence."""
    unit, levels, reason = found["unit"], found["levels"], found["reason"]
    held, broken = _last(levels, found["holds"], ok=True), _last(levels, found["breaks"], ok=False)
    parts = []
    if held is not None:
        least = "at least " if reason in ("generator", "budget", "interrupted", "cap") else ""
        long = duration_text(round(held["end_s"] - held["start_s"]))
        sure = "confirmed" if found["confirmed"] else "not confirmed"
        parts.append(f"holds {least}{so_many(held['load'], unit)} ({sure}: {_figures(held)} over {long})")
    elif any(level["ok"] for level in levels):
        parts.append("no number: no level held a second time")
    else:
        parts.append("no number: no level held" if levels else "no number: no level was measured")
    if broken is not None:
        by = failed_by(broken)
        because = f": {by['check']} ({by['reason']})" if by is not None else ""
        parts.append(f"{so_many(broken['load'], unit)} broke it{because}")
    if reason == "generator":
        load = so_many(levels[-1]["load"], unit)
        parts.append(f"at {load} the generator itself was the limit, not the server")
    elif reason in _WHY:
        parts.append(_WHY[reason])
    last = levels[-1] if reason == "generator" and levels else held
    if last is not None:
        parts.append(_left(last))
    return "; ".join(parts)


def _figures(level: Mapping[str, Json]) -> str:
    times = level["latency_ms"]
    told = f", p50 {words.ms(times['p50'])} ms, p99 {words.ms(times['p99'])} ms" if times else ""
    number = f"{level['answers_per_s']:.0f}"
    return f"{number} {'ack or push' if number == '1' else 'acks and pushes'} a second{told}"


def _left(level: Mapping[str, Json]) -> str:
    health = level["health"]
    if level["lacked"]:
        return "; ".join(level["lacked"])
    if health["verdict"] == UNJUDGED:
        return "the level was too short to judge the generator"
    if level["limited"]:
        return "; ".join(health["reasons"]) if health["verdict"] == LIMITED else "a worker was lost"
    used = health["cpu_peak"]
    return f"the busiest process of the generator had {max(0.0, 1 - used):.0%} of a core left"


def head(asked: Asked) -> str:
    """The head of the lines of levels."""
    unit = "new per s" if asked.arrivals else "users"
    return f"{unit:>9}  {'connected':>9}  {'per s':>9}  {'p50 ms':>8}  {'p99 ms':>8}  {'CPU':>4}"


def lines(level: Mapping[str, Json]) -> list[str]:
    """A level as it ended, in at most 80 columns where its checks are shorter than that."""
    times, health = level["latency_ms"], level["health"]
    p50, p99 = (words.ms(times["p50"]), words.ms(times["p99"])) if times else ("-", "-")
    cpu = "-" if health["verdict"] == UNJUDGED else f"{health['cpu_peak']:.0%}"
    verdict = "generator limited" if level["limited"] else "held" if level["ok"] else "FAILED"
    again = ", long" if level["confirming"] else ""
    found = [
        f"{level['load']:>9}  {level['connected']:>9}  {level['answers_per_s']:>9.1f}  {p50:>8}  {p99:>8}"
        f"  {cpu:>4}  {verdict}{again}"
    ]
    failed = [check for check in level["checks"] if not check["ok"]]
    return found + [f"{'':>11}{check['check']}: {check['reason']}" for check in failed]
