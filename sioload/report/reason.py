"""Why a run's exit code isn't 0, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sioload.measure.rows import Totals
from sioload.report.evaluation import CheckResult
from sioload.report.figures import Figures
from sioload.report.words import counted

#: How many of the causes are named.
_NAMED: Final = 3
_STATUS: Final = re.compile(r"([1-5][0-9][0-9])\b")


def because(code: int, untrusted: Sequence[str], checks: Sequence[CheckResult]) -> str:
    """What makes a code of ours what it is: 4 or 3; empty for others."""
    if code == 4:
        return _listed("the figures can't be trusted", untrusted)
    if code == 3:
        failed = [f"{result.check.text} ({result.reason})" for result in checks if result.failed]
        return _listed(f"{counted(len(failed), 'check')} failed", failed)
    return ""


def failures(figures: Figures) -> str:
    """What Locust's own rule takes for a failure; empty if there is nothing of it."""
    rows = sorted((row for row in figures.rows if row.failures), key=lambda row: -row.failures)
    parts = []
    if rows:
        total = sum(row.failures for row in rows)
        parts.append(_listed(counted(total, "failure"), [_failed(row) for row in rows]))
    raised = sorted(figures.population.exceptions.items(), key=lambda item: -item[1][0])
    if raised:
        total = sum(count for _, (count, _) in raised)
        named = [f"{kind} at {place} {count}" for (kind, place), (count, _) in raised]
        parts.append(_listed(counted(total, "exception"), named))
    return "; ".join(parts)


def _failed(row: Totals) -> str:
    message = max(row.errors, key=lambda text: row.errors[text])
    status = _STATUS.match(message)
    return f"{row.type} {row.name} {row.failures} ({status[1] if status else message})"


def _listed(what: str, causes: Sequence[str]) -> str:
    more = f", and {len(causes) - _NAMED} more" if len(causes) > _NAMED else ""
    return f"{what}: {', '.join(causes[:_NAMED])}{more}"
