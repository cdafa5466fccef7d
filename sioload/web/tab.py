"""The tab "Socket.IO" in Locust's web UI: one table, through the hooks that Locust gives for that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from flask import Response, request
from locust.web import DEFAULT_CACHE_TIME

from sioload.measure.health import shown_verdict
from sioload.net.fleet import runner_of
from sioload.plain import Json
from sioload.report.course import to_come
from sioload.report.summary import users_text
from sioload.report.words import counted
from sioload.web.live import Live, Look
from sioload.web.view import doubts

KEY: Final = "socketio"
TITLE: Final = "Socket.IO"
#: Keys of a row, and the columns' titles. Locust sorts rows by the key `name`, which isn't shown.
COLUMNS: Final = {
    "kind": "",
    "what": "Name",
    "count": "Count",
    "rate": "/s",
    "p50": "p50 ms",
    "p95": "p95 ms",
    "p99": "p99 ms",
    "p999": "p99.9 ms",
    "max": "max ms",
    "failures": "Failures",
    "notes": "Notes",
}
#: Column to the report's statistic in it.
_TIMES: Final = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "max"}
#: Locust's id of a worker ends in 32 random digits; a few tell workers apart.
_WORKER: Final = re.compile(r"(_[0-9a-f]{6})[0-9a-f]{26}$")
#: The answer that the tab's rows travel in, and the page.
_ANSWER, _INDEX = "locust.request_stats", "locust.index"
_SCRIPT: Final = b'<script src="./sioload/static/tab.js" defer></script></body>'


def add_tab(web_ui: Any, live: Live, safe: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Add the tab to Locust's web UI.

    Args:
        web_ui: Locust's.
        live: what it shows.
        safe: wraps a function so that its faults are noted instead of raised.
    """
    structure = [{"key": key, "title": title} for key, title in COLUMNS.items()]
    arguments = web_ui.template_args
    arguments.setdefault("extended_tabs", []).append({"title": TITLE, "key": KEY})
    arguments.setdefault("extended_tables", []).append({"key": KEY, "structure": structure})
    arguments.setdefault("extended_csv_files", []).append({"href": "./sioload/", "title": "Socket.IO charts"})
    extend = safe(lambda response: _extend(response, live))
    link = safe(_add_script)

    def after(response: Response) -> Response:
        if response.status_code == 200 and request.endpoint == _ANSWER:
            extend(response)
        elif response.status_code == 200 and request.endpoint == _INDEX:
            link(response)
        return response

    web_ui.app.after_request(after)


def _extend(response: Response, live: Live) -> None:
    """Put our rows into the answer of Locust's statistics, which may be one that Locust gave before."""
    state = shown_state(live, time.monotonic())
    response.set_data(live.aside(extended, response.get_data(), live.look(), state))


def extended(answer: bytes, look: Look, state: str) -> bytes:
    """The answer of Locust's statistics with our rows and this state in it."""
    data = orjson.loads(answer)
    others = [table for table in data.get("extended_stats", []) if table["key"] != KEY]
    rows = table(look.report, final=look.final, phase=look.phase)
    return orjson.dumps({**data, "extended_stats": [*others, {"key": KEY, "data": rows}], "state": state})


def shown_state(live: Live, now: float) -> str:
    """The state that Locust's page gets. It asks no more once a test has ended, so an end is told when all
    figures are final and those that Locust remembers from before have been forgotten."""
    settled = live.settled_at is not None and now - live.settled_at > DEFAULT_CACHE_TIME + 0.5
    state = str(runner_of(live.environment).state)
    return state if settled or state not in ("cleanup", "stopping", "stopped") else "running"


def _add_script(response: Response) -> None:
    """Let the page load our script."""
    response.set_data(response.get_data().replace(b"</body>", _SCRIPT, 1))


def table(
    report: Mapping[str, Json], *, final: bool, phase: tuple[str, float] | None = None
) -> list[dict[str, Json]]:
    """The rows of the tab, in order.

    Args:
        report: as it stands.
        final: the test is over; before that, a ledger with open emits is no fault.
        phase: the one that is on, and the seconds that it goes on for.
    """
    rows: list[dict[str, Json]] = [
        *({"kind": "UNTRUSTED", "notes": reason} for reason in doubts(report, final=final)),
        *_phases(report, phase),
        *_users(report, final=final),
        *_checks(report),
        *_generator(report, final=final),
        *_rest(report),
        *_connections(report),
        *_events(report),  # last, for there may be 200 of them
    ]
    empty = dict.fromkeys(COLUMNS, "")
    return [{"name": f"{i:05d}", **empty, **row} for i, row in enumerate(rows)]


def _users(report: Mapping[str, Json], *, final: bool) -> Iterator[dict[str, Json]]:
    if told := users_text(report["users"], final=final):
        yield {"kind": "users", "count": report["users"]["peak"], "notes": told}
    for raised in report["exceptions"]:
        what, count = f"{raised['kind']} at {raised['place']}", raised["count"]
        yield {
            "kind": "exception",
            "what": what,
            "count": count,
            "failures": count,
            "notes": raised["message"],
        }


def _phases(report: Mapping[str, Json], on: tuple[str, float] | None) -> Iterator[dict[str, Json]]:
    for phase in report["phases"]:
        calls, users = phase["calls"], phase["users"]
        times = calls["latency_ms"] or {}
        load = f"{users['start']} to {counted(users['end'], 'user')}"
        notes = f"{phase['start_s']:.0f} to {phase['end_s']:.0f} s, {load}"
        if on is not None and on[0] == phase["name"]:
            notes = f"now, {on[1]:.0f} s left: {load}"
        yield {
            "kind": "phase",
            "what": phase["name"],
            "count": calls["count"],
            "rate": round(calls["rate"], 1),
            **{key: round(times[stat], 2) for key, stat in _TIMES.items() if times},
            "failures": phase["failures"],
            "notes": notes,
        }


def _checks(report: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    for check in report["checks"]:
        failed = "not yet" if to_come(check, report) else "warning" if check["warn"] else "FAILED"
        word = "ok" if check["ok"] else failed
        measured = check["value"] if check["ok"] else check["reason"]
        yield {"kind": "check", "what": check["check"], "notes": f"{word}: {measured}"}


def _connections(report: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    made, seconds = report["connections"], report["duration_s"] or 1.0
    for transport, n in made["current"].items():
        yield {"kind": "connections", "what": f"open, {transport}", "count": n}
    yield {"kind": "connections", "what": "opening", "count": made["opening"]}
    totals = {"opened": made["opened"], "upgraded": made["upgraded"]}
    for reason, n in made["closed"].items():
        totals["closed" if reason == "client" else f"lost: {reason}"] = n
    for what, n in totals.items():
        yield {"kind": "connections", "what": what, "count": n, "rate": round(n / seconds, 1)}


def _events(report: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    for event in report["events"]:
        times = event["latency_ms"] or {}
        first = event["first"]
        notes = [f"{n} × {error}" + (f" (the first at {first[error]})" if error in first else "")
                 for error, n in sorted(event["errors"].items(), key=lambda item: -item[1])]  # fmt: skip
        if event["skipped"]:
            notes.insert(0, f"{counted(event['skipped'], 'start')} skipped")
        if event["unfinished"]:
            notes.insert(0, f"{event['unfinished']} unfinished")
        yield {
            "kind": event["type"],
            "what": event["name"],
            "count": event["count"],
            "rate": round(event["rate"], 1),
            **{key: round(times[stat], 2) for key, stat in _TIMES.items() if times},
            "failures": event["failures"],
            "notes": "; ".join([*notes[:3], *([counted(len(notes) - 3, "more kind")] if notes[3:] else [])]),
        }


def _rest(report: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    ledger = report["ledger"]
    outcomes = [f"{n} {name}" for name, n in ledger.items() if n and name != "emits"]
    yield {"kind": "ledger", "what": "emits", "count": ledger["emits"], "notes": ", ".join(outcomes)}
    for heard in report["audience"]:
        parts = counted(heard["strays"], "stray"), counted(heard["duplicates"], "duplicate")
        notes = "{reached} of {owed} reached; ".format(**heard) + f"{', '.join(parts)}, {heard['late']} late"
        if heard["worst"]:
            worst = heard["worst"][0]
            notes += f"; worst: {worst['missed']} of {worst['of']} missed {worst['id']} in {worst['room']}"
        yield {"kind": "audience", "what": heard["name"], "count": heard["messages"],
               "failures": heard["missed"], "notes": notes}  # fmt: skip
    for counts in report["delivery"]:
        notes = "of {expected}: {duplicated} duplicated, {reordered} reordered, {reconnect_gaps} while " \
                "down; {receivers} behind"  # fmt: skip
        receivers = counted(counts["behind"], "receiver")
        yield {"kind": "delivery", "what": counts["name"], "count": counts["received"],
               "failures": counts["lost"], "notes": notes.format(**counts, receivers=receivers)}  # fmt: skip


def _generator(report: Mapping[str, Json], *, final: bool) -> Iterator[dict[str, Json]]:
    for process in report["health"]["processes"]:
        figures = "CPU up to {cpu_peak:.0%} of a core, own lag p99 {own_lag_p99_ms} ms, machine lag p99 " \
                  "{machine_lag_p99_ms} ms".format(**process)  # fmt: skip
        verdict = shown_verdict(process, final=final)
        shown = f"{verdict}: {figures}" if process["windows"] else verdict
        name = _WORKER.sub(r"\1…", process["name"])
        yield {"kind": "generator", "what": name, "notes": shown}
