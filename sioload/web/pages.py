"""The chart page under `./sioload/` of Locust's web UI, what it asks for, and the downloads."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from flask import Blueprint, Response, abort, request, send_from_directory
from werkzeug.exceptions import HTTPException

from sioload.plain import Json
from sioload.report import markup
from sioload.report.document import unverified
from sioload.report.hlog import hlog
from sioload.swarm import describe
from sioload.web import view
from sioload.web.html_report import html
from sioload.web.live import Live, Look

#: Rows whose columns one request may ask for.
MOST: Final = 40
#: Nothing from elsewhere, and nothing inline: names that a server chose are on the page.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
#: Statistics of a row in the CSV file, by the report's names.
_TIMES: Final = ("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")


def add_pages(web_ui: Any, live: Live) -> None:
    """Add the pages to Locust's web UI: below its base path, behind its login."""
    options = live.environment.parsed_options
    base = (getattr(options, "web_base_path", "") or "").rstrip("/")
    pages = Blueprint("sioload", __name__, url_prefix=f"{base}/sioload")
    views = Views(live)
    for path, function in (
        ("/", views.index),
        ("/data", views.data),
        ("/report.json", views.report_json),
        ("/events.csv", views.events_csv),
        ("/sioload.hlog", views.hlog),
        ("/report.html", views.report_html),
        ("/static/<path:name>", views.static),
    ):
        view_function = web_ui.auth_required_if_enabled(_answered(function))
        pages.add_url_rule(path, function.__name__, view_function)
    web_ui.app.register_blueprint(pages)


def _answered(function: Callable[..., Response]) -> Callable[..., Response]:
    """`function`, answering itself what it can't serve: Locust's login takes exceptions for its own."""

    @functools.wraps(function)
    def answer(**kwargs: Any) -> Response:
        try:
            return function(**kwargs)
        except HTTPException as error:
            return Response(f"{error.description}\n", error.code, mimetype="text/plain")

    return answer


class Views:
    """One method for each address."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def index(self) -> Response:
        """The page."""
        text = self._live.aside(index, self._live.look())
        return Response(text, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    def data(self) -> Response:
        """What is on the page, as it is now; `?rows=1,2,3` names the rows whose charts are wanted."""
        try:
            wanted = [int(row) for row in request.args.get("rows", "").split(",") if row]
        except ValueError:
            abort(400)
        text = self._live.aside(data, self._live.look(), wanted[:MOST])
        return Response(text, mimetype="application/json", headers={"Cache-Control": "no-store"})

    def report_json(self) -> Response:
        """The report, as `--sio-report` writes it."""
        text = self._live.aside(json.dumps, self._live.look().report, indent=1, ensure_ascii=False)
        return _download(text + "\n", "application/json", "sioload.json")

    def events_csv(self) -> Response:
        """The report's rows as a table."""
        text = self._live.aside(events_csv, self._live.look().report)
        return _download(text, "text/csv", "sioload.csv")

    def hlog(self) -> Response:
        """The rows' histograms, as `--sio-hlog` writes them."""
        look, started = self._live.look(), self._live.judge.started
        text = self._live.aside(
            hlog,
            look.figures.rows,
            started=started,
            duration=look.duration,
            unverified=unverified(look.report),
        )
        return _download(text, "text/plain", "sioload.hlog")

    def report_html(self) -> Response:
        """The report in one file, as `--sio-html` writes it."""
        text = self._live.aside(html, self._live.look(), self._live.environment)
        return _download(text, "text/html", "sioload.html")

    def static(self, name: str) -> Response:
        """Scripts and styles of this package."""
        return send_from_directory(markup.STATIC, name)


def index(look: Look) -> str:
    """The page."""
    return markup.page("live.html", **view.facts(look), version=describe.versions()["sioload"])


def data(look: Look, wanted: Sequence[int]) -> bytes:
    """What is on the page as JSON: its tables as HTML, and what its charts draw."""
    known = [row for row in wanted if 0 <= row < len(look.rows)]
    fragment = markup.page("fragment.html", **view.facts(look))
    charts = view.charts(look, look.points, known)
    # Row by row: all at once, no greenlet could go on for as long as it takes.
    drawn = b",".join(
        orjson.dumps(row) + b":" + orjson.dumps(columns) for row, columns in charts.pop("series").items()
    )
    return orjson.dumps({"fragment": fragment, **charts})[:-1] + b',"series":{' + drawn + b"}}"


def _download(text: str, mimetype: str, name: str) -> Response:
    disposition = f'attachment; filename="{name}"'
    return Response(text, mimetype=mimetype, headers={"Content-Disposition": disposition})


def events_csv(report: Mapping[str, Json]) -> str:
    """The report's rows as CSV; times in milliseconds, empty where a row carries none."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["type", "name", "count", "failures", "rate_per_s", *(f"{stat}_ms" for stat in _TIMES),
                     "skipped", "unfinished"])  # fmt: skip
    for event in report["events"]:
        times = event["latency_ms"] or {}
        writer.writerow([
            event["type"], _cell(event["name"]), event["count"], event["failures"], event["rate"],
            *(times.get(stat, "") for stat in _TIMES), event["skipped"], event["unfinished"],
        ])  # fmt: skip
    return out.getvalue()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: servers choose some names."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
