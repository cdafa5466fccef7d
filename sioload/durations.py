"""Durations as people write them: `250ms`, `30s`, `1m30s`, `1h`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

#: Unit to microseconds, the largest first.
UNITS: Final = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}

_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(us|ms|s|m|h)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def seconds_of(text: str) -> float | None:
    """The seconds of a duration such as `1m30s`; None when it is none (a unit is missing, say)."""
    if not _WHOLE.fullmatch(text):
        return None
    return float(sum(Decimal(number) * UNITS[unit] for number, unit in _PART.findall(text)) / 1_000_000)


def duration_text(seconds: float) -> str:
    """A duration, to the microsecond, as `seconds_of` reads it: whole numbers, the largest units first."""
    left = round(seconds * 1_000_000)
    parts = []
    for unit, size in UNITS.items():
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
