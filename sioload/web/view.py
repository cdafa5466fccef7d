"""The report as HTML, and the history as data for the charts: the same for the live page and for a file."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, FileSystemLoader

from sioload.measure.health import shown_verdict
from sioload.plain import Json
from sioload.report.document import UNSEEN, users_text
from sioload.report.history import SPREAD, Point
from sioload.report.series import reach_series, row_series, series
from sioload.report.servers import shown, titled
from sioload.web.live import Look

STATIC: Final = Path(__file__).with_name("static")
TEMPLATES: Final = Path(__file__).with_name("templates")

#: What the charts draw of a phase.
_BAND: Final = ("name", "start_s", "end_s")


def number(value: float | None) -> str:
    """A count, or a rate, with thousands separated; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"


def ms(value: float | None) -> str:
    """Milliseconds to three digits or so; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes, as KiB, MiB or GiB."""
    steps = min(3, int(math.log2(value) // 10)) if value >= 1 else 0
    return f"{value / 1024**steps:,.{1 if steps else 0}f} {('B', 'KiB', 'MiB', 'GiB')[steps]}"


def span(seconds: float) -> str:
    """A time span, as 1:02:03 or 2:03 or 3.4 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


#: Escapes all that a template shows: names come from servers.
_jinja = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_jinja.filters.update(number=number, ms=ms, size=size, span=span, measure=shown, titled=titled)


def page(template: str, **values: Any) -> str:
    """A template of this package with these values."""
    return _jinja.get_template(template).render(values)


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
        "state": look.state,
        "users": look.users,
        "failures": sum(event["failures"] for event in events),
        "errors": sorted(errors, key=lambda error: (-error[0], error[1:])),
        "lost": lost,
        "unseen": UNSEEN,
        "phase": look.phase,
        "shown_verdict": functools.partial(shown_verdict, final=look.final),
        "fates": users_text(report["users"]),
        "failed": [check for check in report["checks"] if not check["ok"] and not check["warn"]],
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


def charts(look: Look, points: Sequence[Point], wanted: Iterable[int]) -> dict[str, Json]:
    """What the charts draw: columns of these points, all rows by name, and the columns of those wanted."""
    spans = [(point.start, point.end) for point in points]
    return {
        "rows": rows(look),
        "phases": [{key: each[key] for key in _BAND} for each in look.report["phases"]],
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


def script_json(data: Json) -> str:
    """JSON that can stand in a page's `<script>`: nothing in it ends the element."""
    text = orjson.dumps(data).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
