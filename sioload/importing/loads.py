"""The load and the limits of an Artillery script: phases of sessions per second, and checks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from sioload.durations import duration_text
from sioload.errors import CheckError, PhaseError
from sioload.importing.amounts import number_of, seconds_of_time
from sioload.importing.conversation import Conversation, Emit, Request, steps_of
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.layout import said
from sioload.importing.settings import Leave
from sioload.load.phases import parse_phases
from sioload.plain import Json
from sioload.report.checks import parse
from sioload.report.words import plain

_CONDITION: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>|==|!=)\s*([\d.]+)\s*")
_STATS: Final = {"median": "p50", "p50": "p50", "p75": "p75", "p90": "p90", "p95": "p95", "p99": "p99",
                 "p999": "p99.9", "min": "min", "max": "max", "mean": "mean"}  # fmt: skip


def take_load(config: Mapping[str, Json], made: Conversation, leave: Leave) -> None:
    """Phases and limits."""
    names: set[str] = set()
    texts = [_phase(mapping(raw), names, leave) for raw in listed(config.get("phases"))]
    text = "; ".join(part for part in texts if part)
    if text:
        try:
            parse_phases(text)
            made.phases = text
        except PhaseError as error:
            leave(f"config.phases: {error}")
    rows = _row_types(made)
    ensure = mapping(config.get("ensure")) or mapping(mapping(config.get("plugins")).get("ensure"))
    for check in _checks(ensure, rows, leave):
        try:
            parse(check)
            made.checks.append(check)
        except CheckError as error:
            leave(f"config.ensure: {error}")


def _phase(raw: Mapping[str, Json], names: set[str], leave: Leave) -> str:
    name = re.sub(r"[^\w-]+", "-", text_of(raw.get("name")), flags=re.ASCII).strip("-")[:40]
    name = name if re.match("[A-Za-z]", name) else f"phase-{name}" if name else ""
    while name and name in names:
        name += "-again"
    names.add(name)
    label = f"{name}: " if name else ""
    pause = seconds_of_time(raw["pause"]) if "pause" in raw else None
    duration = seconds_of_time(raw.get("duration"))
    for key in raw:
        if key not in ("duration", "arrivalRate", "arrivalCount", "rampTo", "pause", "name"):
            leave(f"config.phases {said(key, 40)} {said(str(raw[key]), 40)}")
    if pause:
        return f"{label}0/s for {duration_text(pause)}"
    if not duration:
        leave(f"config.phases: {said(str(dict(raw)), 100)} has no duration that can be read")
        return ""
    if "arrivalCount" in raw:
        count = _number(raw, "arrivalCount", leave)
        # Rounded down: a plan begins a session for each part of one, and would begin one too many.
        rate = math.floor(count * 1e6 / duration) / 1e6
        return f"{label}{_plain(rate)}/s for {duration_text(duration)}"
    rate = _number(raw, "arrivalRate", leave)
    if "rampTo" in raw:
        most = _number(raw, "rampTo", leave)
        return f"{label}{_plain(rate)}..{_plain(most)}/s over {duration_text(duration)}"
    return f"{label}{_plain(rate)}/s for {duration_text(duration)}"


def _number(raw: Mapping[str, Json], key: str, leave: Leave) -> float:
    """A number of a phase; a template may stand there, which only Artillery can fill."""
    value = raw.get(key, 0)
    if not _is_number(value):
        leave(f"config.phases {key} {said(str(value), 40)} is no number: 1 instead")
        return 1.0
    return number_of(value)


def _is_number(value: Json) -> bool:
    return number_of(value) != 0 or not str(value).strip(" 0.")


def _plain(number: float) -> str:
    """A number to six decimals, at least 0."""
    return plain(round(max(0.0, number), 6))


def _row_types(made: Conversation) -> dict[str, list[str]]:
    """The rows that Artillery's figures are about, and those whose failures end its users."""
    bodies = [body for kind in made.kinds for body in (kind.start, *(task.steps for task in kind.tasks))]
    steps = [step for body in bodies for step in steps_of(body)]
    how = {step.how for step in steps if isinstance(step, Emit)}
    rows = {
        "socketio": [row for row, kind in (("CALL", "call"), ("REPLY", "reply")) if kind in how],
        "http": sorted({step.method for step in steps if isinstance(step, Request)}),
    }
    connected = ["CONNECT"] if any(kind.start for kind in made.kinds) else []
    return {**rows, "failing": [*connected, *rows["socketio"], *rows["http"]]}


def _checks(ensure: Mapping[str, Json], rows: Mapping[str, list[str]], leave: Leave) -> list[str]:
    found: list[str] = []
    every = [*rows["socketio"], *rows["http"]]
    for key, value in ensure.items():
        if key == "thresholds" and isinstance(value, list):
            for each in value:
                for metric, most in mapping(each).items():
                    found += _metric(metric, "<", most, rows, leave)
        elif key == "conditions" and isinstance(value, list):
            for each in value:
                warns = " warn" if mapping(each).get("strict") is False else ""
                made = _condition(text_of(mapping(each).get("expression")), rows, leave)
                found += [check + warns for check in made]
        elif not _is_number(value):
            leave(f"config.ensure.{said(key, 40)} {said(str(value), 40)}: no number")
        elif key == "maxErrorRate":
            found += [f"{row}: fail_ratio <= {_plain(number_of(value))}%" for row in rows["failing"]]
        elif key in _STATS and every:
            found += [f"{row}: {_STATS[key]} < {_plain(number_of(value))}ms" for row in every]
        else:
            leave(f"config.ensure.{said(key, 40)}")
    return found


def _condition(expression: str, rows: Mapping[str, list[str]], leave: Leave) -> list[str]:
    parts = [_CONDITION.fullmatch(part) for part in re.split(r"\band\b|&&", expression)]
    if not all(parts):
        leave(f"config.ensure condition {said(expression, 80)!r}: only comparisons joined by `and`")
        return []
    return [c for part in parts if part is not None for c in _metric(part[1], part[2], part[3], rows, leave)]


def _metric(
    metric: str, operator: str, given: Json, rows: Mapping[str, list[str]], leave: Leave
) -> list[str]:
    """Checks of a figure of Artillery's."""
    if not _is_number(given):
        leave(f"config.ensure {said(metric, 60)} {operator} {said(str(given), 40)}: no number")
        return []
    limit = number_of(given)
    group, _, rest = metric.partition(".")
    name, _, stat = rest.partition(".")
    if name == "response_time" and group in rows and stat in _STATS and rows[group]:
        return [f"{row}: {_STATS[stat]} {operator} {_plain(limit)}ms" for row in rows[group]]
    if metric in ("vusers.failed", "socketio.failed") and operator in ("<", "<=", "=="):
        return [f"{row}: failures {operator} {_plain(limit)}" for row in rows["failing"]]
    leave(f"config.ensure {said(metric, 60)} {operator} {_plain(limit)}: there is no such figure here")
    return []
