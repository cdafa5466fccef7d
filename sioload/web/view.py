"""The report as HTML, and the history as data for the charts: the same for the live page and for a file."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sioload.measure.health import shown_verdict
from sioload.plain import Json
from sioload.report.capacity import name_of_failure
from sioload.report.course import to_come
from sioload.report.document import UNSEEN
from sioload.report.history import SPREAD, Point
from sioload.report.series import drill_series, reach_series, row_series, series
from sioload.report.summary import users_text
from sioload.web.live import Look

#: What the charts draw of a phase.
_BAND: Final = ("name", "start_s", "end_s")


def doubts(report: Mapping[str, Json], *, final: bool) -> list[str]:
    """Why the figures can't be trusted, as far as that is known: before the end, which workers are lost."""
    known: list[str] = report["untrusted"] if final else report["untrusted"][: report["workers"]["lost"]]
    return known


def facts(look: Look) -> dict[str, Json]:
    """What the templates show."""
    report = look.report
    events = report["events"]
    errors = [
        (n, event["type"], event["name"], text, event["first"].get(text, ""))
        for event in events
        for text, n in event["errors"].items()
    ]
    made = report["connections"]
    lost = {reason: n for reason, n in made["closed"].items() if reason != "client"}
    return {
        "report": report,
        "final": look.final,
        "doubts": doubts(report, final=look.final),
        "state": look.state,
        "users": look.users,
        "failures": sum(event["failures"] for event in events),
        "errors": sorted(errors, key=lambda error: (-error[0], error[1:])),
        "lost": lost,
        # What was open when counting began anew wasn't opened since.
        "sessions": max(made["opened"], sum(made["current"].values()) + sum(made["closed"].values())),
        "unseen": UNSEEN,
        "phase": look.phase,
        "shown_verdict": functools.partial(shown_verdict, final=look.final),
        "fates": users_text(report["users"], final=look.final),
        "to_come": functools.partial(to_come, report=report),
        "verdict": {0: "passed", 3: "a check failed", 4: "figures can't be trusted"}.get(
            report["exit_code"], "failures"
        ),
    }


def rows(look: Look) -> list[dict[str, Json]]:
    """Each row that the history knows, in the report's order; `row` is its number there."""
    numbers = {key: number for number, key in enumerate(look.rows)}
    return [
        {
            "row": numbers[row.type, row.name],
            "type": row.type,
            "name": row.name,
            "count": row.count,
            "failures": row.failures,
            "timed": row.times.total > 0,
        }
        for row in look.figures.rows
        if (row.type, row.name) in numbers
    ]


def _watched(mark: Mapping[str, Json]) -> dict[str, Json]:
    """When the users of a drill are watched, as the charts mark it."""
    return {"name": "drill", "start_s": mark["at_s"], "end_s": mark["at_s"] + mark["watch_s"]}


def charts(look: Look, points: Sequence[Point], wanted: Iterable[int]) -> dict[str, Json]:
    """What the charts draw: columns of these points, all rows by name, and the columns of those wanted."""
    spans = [(point.start, point.end) for point in points]
    calls = {number for number, (type, _) in enumerate(look.rows) if type == "CALL"}
    return {
        "rows": rows(look),
        "phases": [
            *_levels(look.report),
            *({key: each[key] for key in _BAND} for each in look.report["phases"]),
            *map(_watched, look.report["drill"]),
        ],
        "capacity": _capacity(look.report),
        "drill": [drill_series(mark, look.points, calls) for mark in look.report["drill"]],
        "columns": series(points),
        "audience": {
            name: {"reach": reach_series(points, name), "times": row_series(points, number)["times"]}
            for number, (type, name) in enumerate(look.rows)
            if type == SPREAD
        },
        "servers": [
            {
                "label": each.label,
                "metric": each.metric,
                "unit": each.unit,
                "values": each.on(spans, look.origin),
            }
            for each in look.figures.servers
        ],
        "series": {str(row): row_series(points, row) for row in wanted},
    }


def _capacity(report: Mapping[str, Json]) -> dict[str, Json] | None:
    """What a search for capacity measured of each load when it last was on."""
    found = report.get("capacity")
    if found is None:
        return None
    newest = {level["load"]: level for level in found["levels"]}
    levels = [newest[load] for load in sorted(newest)]
    times = [level["latency_ms"] or {} for level in levels]
    return {
        "unit": found["unit"],
        "load": [level["load"] for level in levels],
        "p50": [each.get("p50") for each in times],
        "p99": [each.get("p99") for each in times],
        "answers": [level["answers_per_s"] for level in levels],
        "failed": [[level["load"], name_of_failure(level)] for level in levels if not level["ok"]],
    }


def _levels(report: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The levels of a search, as phases are drawn."""
    levels = report.get("capacity", {"levels": []})["levels"]
    return [
        {"name": f"{level['load']}", "start_s": level["start_s"], "end_s": level["end_s"]} for level in levels
    ]
