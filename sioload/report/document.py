"""The report of a run as a JSON document (schema 2), and what exit code the figures call for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from sioload.measure.blocks import Blocks
from sioload.measure.health import LIMITED, judge
from sioload.measure.names import OTHER
from sioload.measure.population import Population
from sioload.plain import Json
from sioload.report.course import Course
from sioload.report.evaluation import CheckResult
from sioload.report.events import event_of
from sioload.report.figures import Figures
from sioload.report.words import counted

SCHEMA: Final = 2
#: Said beside delivery's figures.
UNSEEN: Final = (
    "expected is what lies between a receiver's first and last number; that it never got a first one, "
    "or none after its last, isn't seen but where others of its stream got on, and where room= is given"
)
#: Said in every report of a run that accepted any certificate.
UNVERIFIED: Final = "TLS certificates were not verified"


def untrusted(
    figures: Figures, checks: Sequence[CheckResult] = (), *, paced: bool = True, limited: bool | None = None
) -> list[str]:
    """Why the figures can't be trusted; empty when they can.

    Args:
        figures: of the whole run, after the drain; or as they stand.
        checks: results of the run's checks.
        paced: users pace themselves. Without pacing the generator is meant to be at its limit, which matters
            only to checks of times.
        limited: whether the generator was the limit; as its health and `paced` tell without.
    """
    reasons = [str(loss) for loss in figures.lost]
    if reasons and figures.audience.parts:
        reasons.append(
            "messages to rooms count without the users of lost workers, from their last reports on"
        )
    count = figures.ledger.open
    if count < 0 or (count and not figures.going):
        reasons.append(f"the ledger doesn't balance: {counted(count, 'emit')} without exactly one outcome")
    reasons += [f"internal error: {text}" for text in figures.internal_errors]
    if limited is None:
        meant = paced or any(each.check.about_time for each in checks)
        limited = meant and any(totals.verdict == LIMITED for _, totals in figures.health)
    if limited:
        reasons.append("the load generator itself was the limit")
    return reasons


def exit_code(
    figures: Figures,
    checks: Sequence[CheckResult] = (),
    *,
    paced: bool = True,
    limited: bool | None = None,
    locust: int = 0,
) -> int:
    """The exit code of a run: 4 untrusted figures, 3 a check failed, 1 no session ever, else Locust's own."""
    if untrusted(figures, checks, paced=paced, limited=limited):
        return 4
    if any(result.failed for result in checks):
        return 3
    return 1 if no_session(figures) else locust


def no_session(figures: Figures) -> bool:
    """Whether users tried to connect and none of them ever had a session."""
    made = figures.connections
    tried = any(row.type == "CONNECT" and row.failures for row in figures.rows)
    return tried and not made.opened and not any(made.current.values())


def report(
    figures: Figures,
    *,
    version: str,
    started: float,
    duration: float,
    host: str,
    peak_users: int,
    asked_users: int | None = None,
    workers: int = 0,
    course: Course | None = None,
    checks: Sequence[CheckResult] = (),
    exit_code: int = 0,
    exit_reason: str = "",
    paced: bool = True,
    limited: bool | None = None,
    settings: Mapping[str, Json] | None = None,
    versions: Mapping[str, str] | None = None,
    feeds: Sequence[Mapping[str, Json]] = (),
    asked_of: Mapping[str, int] | None = None,
    server: Sequence[Mapping[str, Json]] = (),
    capacity: Mapping[str, Json] | None = None,
    ended_by: str = "",
) -> dict[str, Json]:
    """The report as a JSON-able document.

    Args:
        figures: of the whole run.
        version: sioload's own.
        started: seconds since the epoch.
        duration: seconds.
        host: the server's URL.
        peak_users: the most users at a time.
        asked_users: how many were asked for, at most; as many without.
        workers: how many workers the run had; 0 without workers.
        course: the run's phases.
        checks: results of the run's checks.
        exit_code: of the run.
        exit_reason: why it isn't 0.
        paced, limited: see `untrusted`.
        settings: what the run used that weakens or explains it (`tls_verify`, ...).
        versions: of the libraries and of Python.
        feeds: how the rows of each feed were used.
        asked_of: how many users of each class were asked for, at most; as many as ran without.
        server: what was read of the servers.
        capacity: what a search for it found.
        ended_by: the signal that ended the run before its time; "" without.
    """
    stamp = datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    blocks = None if figures.going else figures.blocks
    return {
        "schema": SCHEMA,
        "final": not figures.going,
        "sioload": version,
        "started": stamp,
        "duration_s": round(duration, 3),
        "host": host,
        "users": {
            "asked": peak_users if asked_users is None else asked_users,
            "peak": peak_users,
            "ended": figures.population.ended,
            "left": figures.population.left,
            "classes": _classes(figures.population, asked_of or {}),
        },
        "exceptions": _exceptions(figures.population),
        "workers": {"expected": workers, "lost": len(figures.lost)},
        "drill": list(figures.drill),
        "events": _events(figures, duration, blocks),
        "blocks": None if blocks is None else _span(blocks, started),
        "phases": [] if course is None else course.document(figures, course.started + duration),
        "ledger": figures.ledger.encode(),
        "delivery": [{"name": name, **figures.delivery[name].encode()} for name in sorted(figures.delivery)],
        "audience": figures.audience.document(),
        "connections": figures.connections.encode(),
        "bytes": {"sent": figures.bytes_sent, "received": figures.bytes_received},
        "feeds": list(feeds),
        "server": list(server),
        "health": judge(figures.health),
        "checks": [result.document() for result in checks],
        "untrusted": untrusted(figures, checks, paced=paced, limited=limited),
        "settings": dict(settings or {}),
        "versions": dict(versions or {}),
        "exit_reason": exit_reason,
        "exit_code": exit_code,
        **({} if capacity is None else {"capacity": capacity}),
        **({"ended_by": ended_by} if ended_by else {}),
    }


def _events(figures: Figures, duration: float, blocks: Blocks | None) -> list[dict[str, Json]]:
    events = [event_of(row, figures.clock_error, duration) for row in figures.rows]
    for event in events:
        # What shares a name for want of room may not be in the blocks of all processes.
        shared = event["name"] == OTHER
        event["blocks"] = blocks.text(event["type"], event["name"]) if blocks and not shared else ""
    return events


def _span(blocks: Blocks, started: float) -> dict[str, Json]:
    """When the blocks are; the first may begin before the run."""
    return {"seconds": blocks.seconds, "number": blocks.number, "start_s": round(blocks.begin - started, 3)}


def _classes(population: Population, asked_of: Mapping[str, int]) -> list[dict[str, Json]]:
    """How many users of each class ran at a time, and what became of them.

    Those of workers whose users moved to others are counted once.
    """
    found: list[dict[str, Json]] = []
    for name, counts in sorted(population.classes.items()):
        asked = asked_of.get(name) or counts.peak
        found.append({"class": name, "asked": asked, "ran": min(counts.peak, asked),
                      "died": counts.ended, "left": counts.left})  # fmt: skip
    return found


def _exceptions(population: Population) -> list[dict[str, Json]]:
    ranked = sorted(population.exceptions.items(), key=lambda item: (-item[1][0], item[0]))
    return [{"kind": kind, "place": place, "count": count, "message": message}
            for (kind, place), (count, message) in ranked]  # fmt: skip


def unverified(report: Mapping[str, Json]) -> bool:
    """Whether the run accepted any certificate."""
    return report.get("settings", {}).get("tls_verify") is False
