"""The report of a run as one HTML file: no network, nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from sioload.load.levels import SessionLevels, UserLevels
from sioload.load.shapes import SessionPhases, UserPhases
from sioload.options import Options, named
from sioload.plain import Json
from sioload.report.figures import Figures
from sioload.report.markup import page, script_json, static
from sioload.report.series import regular
from sioload.web import view
from sioload.web.live import Live, Look

if TYPE_CHECKING:
    from locust.env import Environment

#: Points of a chart, and rows whose charts are in the file: together they bound its size.
POINTS: Final = 240
ROWS: Final = 100
#: Options of Locust and of sioload that tell what was run, by the name they have on the command line. The
#: first two say nothing of a run that follows a shape.
_RUN: Final = (
    "num_users",
    "spawn_rate",
    "run_time",
    "stop_timeout",
    "sio_drain",
    "processes",
    "tags",
    "exclude_tags",
)
#: Options of a user class that tell what was run, and never hold a secret.
_USER: Final = ("version", "transports", "namespaces", "parser", "base64", "compress", "connect_timeout",
                "ack_timeout", "reconnection", "connect_jitter", "tls_verify")  # fmt: skip


class Maker:
    """Makes the file of `--sio-html` at the end of a run."""

    __name__ = "HTML report"

    def __init__(self, live: Live) -> None:
        self._live = live

    def __call__(self, report: Mapping[str, Json], figures: Figures) -> dict[str, str]:
        """The file that was asked for, as `path -> text`."""
        environment = self._live.environment
        path = getattr(environment.parsed_options, "sio_html", None)
        if not path:
            return {}
        if self._live.settled_at is None:  # else it has all, and what passed since is none of the run
            self._live.sample(figures)
        history = self._live.history
        # While a test ends, a look is as old as the last page that was asked for.
        look = replace(
            self._live.look(),
            report=report,
            figures=figures,
            points=history.points,
            rows=list(history.rows),
            final=True,
        )
        return {path: html(look, environment)}


def html(look: Look, environment: Environment) -> str:
    """The whole page."""
    busiest = sorted(view.rows(look), key=lambda row: -row["count"])[:ROWS]
    data = view.charts(look, regular(look.points, POINTS), [row["row"] for row in busiest])
    return page(
        "report.html",
        **view.facts(look),
        chosen=settings(environment),
        # Markup is for what is safe as it is: files of this package, and JSON that is escaped already.
        styles=Markup(static("uPlot.min.css") + static("sioload.css")),
        scripts=Markup(static("uPlot.min.js") + static("charts.js")),
        data=Markup(script_json(data)),
    )


def settings(environment: Environment) -> list[tuple[str, str]]:
    """What was run, as pairs of a name and a value. Headers, auth, queries and cookies are left out."""
    options, shape = environment.parsed_options, environment.shape_class
    names = _RUN if shape is None else _RUN[2:]
    pairs = [("locustfile", str(environment.locustfile or "-")), *_shaped(shape)]
    pairs += [(f"--{name.replace('_', '-')}".replace("--num-users", "--users"), str(value))
              for name in names if (value := getattr(options, name, None)) not in (None, [], "")
              if value or name != "run_time"]  # fmt: skip
    for user_class in environment.user_classes:
        given = getattr(user_class, "options", None)
        if isinstance(given, Options):
            given = {name: getattr(given, name) for name in _USER}
        else:  # of another kind of user it may be anything
            given = named(given) if isinstance(given, Mapping) else {}
        told = [f"{name} {_plain(given[name])}" for name in _USER if name in given]
        pairs.append((user_class.__name__, ", ".join(told) or "default options"))
    return pairs


def _shaped(shape: Any) -> Iterator[tuple[str, str]]:
    """What the load followed, if that was no number of users."""
    if isinstance(shape, UserPhases | SessionPhases):
        yield "phases", str(shape.plan)
        if rate := getattr(shape, "spawn_rate", None):
            yield "--spawn-rate", str(rate)
    elif shape is not None and not isinstance(shape, UserLevels | SessionLevels):  # the report tells those
        yield "shape", type(shape).__name__


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return str(value) if isinstance(value, str | int | float | None) else type(value).__name__
