"""A report's figures, read back: what `report/document.py` wrote, as checks are evaluated on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sioload.errors import CheckError
from sioload.measure.connections import Connections
from sioload.measure.delivery import DeliveryCounts
from sioload.measure.ledger import Ledger
from sioload.measure.rows import Totals
from sioload.plain import Json
from sioload.report.checks import parse
from sioload.report.course import unreached
from sioload.report.evaluation import CheckResult, evaluate
from sioload.report.events import times_of
from sioload.report.figures import Figures, LostWorker
from sioload.report.heard import COUNTS, TYPE, AudienceFigures, Heard
from sioload.report.servers import STATS, Metric

_LOST = LostWorker("", None)


def check_result(report: Mapping[str, Json], text: str) -> CheckResult:
    """What a check says of a run, from its report.

    Args:
        report: of schema 2.
        text: the check.

    Raises:
        CheckError: it can't be parsed, or needs more than a report holds.
    """
    check = parse(text)
    for each in report["checks"]:
        if each["check"] == check.text:
            return CheckResult(check, each["ok"], each["value"], each["reason"], enough=True)
    if check.after or (check.selector == TYPE and check.stat.startswith("spread")):
        raise CheckError(f"check {text!r}: a report holds too little for it: give it to the run itself")
    if check.phase is None:
        users, seconds = report["users"]["peak"], report["duration_s"]
        return evaluate(check, _whole(report), duration=seconds, peak_users=users)
    part = next((phase for phase in report["phases"] if phase["name"] == check.phase), None)
    if part is None:
        return unreached(check, ended=True)
    users, seconds = part["users"]["peak"], part.get("seconds", part["end_s"] - part["start_s"])
    return evaluate(check, _part(part), duration=seconds, peak_users=users)


def _whole(report: Mapping[str, Json]) -> Figures:
    figures = _part(report)
    figures.servers = [metric_of(each) for each in report.get("server", ())]
    figures.lost = [_LOST] * report["workers"]["lost"]
    figures.drill = report.get("drill", ())
    return figures


def _part(part: Mapping[str, Json]) -> Figures:
    """The figures of the whole run, or of one of its phases."""
    ledger = {key: n for key, n in part["ledger"].items() if not key.startswith("open")}
    pushes = {
        each["name"]: DeliveryCounts.decode({key: n for key, n in each.items() if key != "name"})
        for each in part["delivery"]
    }
    return Figures(
        rows=[totals_of(event) for event in part["events"]],
        ledger=Ledger.decode(ledger),
        connections=Connections.decode(part["connections"]),
        delivery=pushes,
        audience=AudienceFigures({-math.inf: dict(map(_heard, part.get("audience", ())))}),
    )


def _heard(shown: Mapping[str, Json]) -> tuple[str, Heard]:
    """Name and audiences, without the times from first to last arrival."""
    return shown["name"], Heard(*(shown[count] for count in COUNTS))


def metric_of(shown: Mapping[str, Json]) -> Metric:
    """A server's figure, from what `Metric.document` made of it; without its course."""
    metric = Metric(shown["name"], shown["node"], shown["metric"], shown["unit"])
    metric.total = shown.get("total")
    for key in ("count", *STATS):
        setattr(metric, key, shown[key])
    return metric


def totals_of(event: Mapping[str, Json]) -> Totals:
    """A row, from what `event_of` made of it; without its service times."""
    row = Totals(event["type"], event["name"])
    row.times = times_of(event)
    row.untimed = event["count"] - row.times.total
    row.errors = dict(event["errors"])
    row.skipped, row.unfinished, row.bytes = event["skipped"], event["unfinished"], event["bytes"]
    return row
