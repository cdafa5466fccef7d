"""Numbers and times of an Artillery script, and what of them stands in templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sioload.importing.conversation import At, Column, Conversation, Joined, Made, Think, Value, Variable
from sioload.importing.expressions import LENGTH
from sioload.importing.layout import said
from sioload.importing.templates import Templates
from sioload.plain import Json

_TIME: Final = re.compile(
    r"\s*(\d{1,12}(?:\.\d+)?)\s*(ms|millis\w*|s|secs?|seconds?|m|mins?|minutes?|h|hours?|hrs?)?\s*"
)
_BARE: Final = re.compile(r"\s*\d{1,12}(?:\.\d+)?\s*")
_UNITS: Final = {"m": 60.0, "h": 3600.0, "s": 1.0, "": 1.0}


def number_of(value: Json) -> float:
    """A number, of a text too; 0 when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if abs(number) < 1e12 else 0.0


def seconds_of_time(value: Json) -> float | None:
    """A number of seconds, or a text such as `500ms` or `2m`; None when it is none."""
    found = (
        _TIME.fullmatch(str(value))
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else None
    )
    if found is None:
        return None
    unit = found[2] or ""
    return float(found[1]) * (0.001 if unit[:2] in ("ms", "mi") and unit[:3] != "min" else _UNITS[unit[:1]])


def weight_of(given: Json, what: str, leave: Callable[[str], None]) -> int:
    """The whole part of a weight, as Artillery has it."""
    text = said(str(given), 40)
    if "{{" in text:
        leave(f"{what} {text} is no number: 1 instead")
        return 1
    weight = int(number_of(given))
    if weight < 1:
        leave(f"{what} {text}, so no user has it")
    return weight


def pause_of(given: Json, templates: Templates, made: Conversation) -> Think | None:
    """A pause, as long as a variable or a column says if all that it may be are numbers; else None."""
    meant = templates.value(given)
    if isinstance(meant, Joined) and isinstance(number := meant.parts[0], Made) and len(meant.parts) == 1:
        return Think(float(number.least), float(number.most))
    if is_number(meant, made):
        return Think(1.0, value=meant)
    seconds = [seconds_of_time(value) for value in _may_be(meant, made)]
    return Think(seconds[0]) if len(seconds) == 1 and seconds[0] is not None else None


def is_number(meant: Value, made: Conversation) -> bool:
    """Whether a template stands for what is a number, for each user."""
    if isinstance(meant, Joined):
        return [getattr(part, "kind", "") for part in meant.parts] == ["number"]
    values = _may_be(meant, made) if isinstance(meant, Variable | Column) else []
    return bool(values) and all(_BARE.fullmatch(str(value)) for value in values)


def is_count(meant: Value, templates: Templates, made: Conversation) -> bool:
    """Whether a template stands for a number, a length, or a part of what an answer said before."""
    inner, path = (meant.value, meant.path) if isinstance(meant, At) else (meant, ())
    if isinstance(inner, Variable) and inner.name not in made.variables:
        return templates.names.get(inner.name) == inner
    return path[-1:] == (LENGTH,) or is_number(meant, made)


def _may_be(meant: Value, made: Conversation) -> list[Value]:
    """What a template stands for: one of these."""
    if isinstance(meant, Variable):
        return made.variables.get(meant.name, [])
    if isinstance(meant, Column) and meant.name:
        feed = next(feed for feed in made.feeds if feed.name == meant.feed)
        return [row[feed.columns.index(meant.name)] for row in feed.rows]
    return [meant]


def jittered(seconds: float, jitter: str) -> Think | None:
    """A pause that is longer or shorter by milliseconds, a time, or a share of it; None for anything else."""
    if jitter.endswith("%") and _BARE.fullmatch(jitter[:-1]):
        share: float | None = number_of(jitter[:-1]) / 100 * seconds
    else:
        share = seconds_of_time(f"{jitter}ms" if _BARE.fullmatch(jitter) else jitter)
    if share is None:
        return None
    return Think(round(max(0.0, seconds - share), 4), round(seconds + share, 4))
