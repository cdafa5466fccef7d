"""Serves our pages of a long run with many rows while a greenlet wants its turns; prints how many it got."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import locust  # noqa: F401  # patches first

import gevent  # isort: skip
from flask import Flask

from sioload.measure.recorder import Recorder
from sioload.report.document import report
from sioload.report.merge import Figures, Swarm
from sioload.web.live import MANY, Live, in_turn
from sioload.web.pages import Views

ROWS, SECONDS = 190, 240
PAGES = ("index", "data", "report_json", "events_csv", "hlog", "report_html")
turns = 0


def user() -> None:
    global turns
    while True:
        turns += 1
        gevent.sleep(0)


def told(figures: Figures) -> dict[str, Any]:
    return report(figures, version="1", started=0.0, duration=SECONDS, host="http://h", peak_users=1)


recorder, swarm = Recorder(), Swarm()
rows = [recorder.row("CALL", f"event {number}") for number in range(ROWS)]
judge = SimpleNamespace(
    started=time.time(), running=True, duration=SECONDS, report=told,
    figures=lambda: swarm.take_local(recorder), phase=lambda: None,
)  # fmt: skip
options = SimpleNamespace(web_base_path="")
environment = SimpleNamespace(
    runner=SimpleNamespace(state="running", user_count=1), parsed_options=options, locustfile="x.py",
    user_classes=[], shape_class=None,
)  # fmt: skip
live = Live(environment, SimpleNamespace(judge=judge, settled=False))  # type: ignore[arg-type]
for second in range(SECONDS):
    for row in rows:
        row.add(0.001 * (second % 7 + 1))
    live.history.feed(second + 1.0, judge.figures(), 1)

got = {"points": len(live.history.points), "rows": len(live.history.rows)}
gevent.spawn(user)
gevent.sleep(0)
before = turns
assert len(list(in_turn(range(10 * MANY), MANY))) == 10 * MANY  # type: ignore[type-var, arg-type]
got["many rows"] = turns - before
views = Views(live)
with Flask("test").test_request_context(f"/?rows={','.join(map(str, range(40)))}"):
    for page in PAGES:
        before = turns
        assert getattr(views, page)().status_code == 200
        got[page] = turns - before
print(json.dumps(got))
