from __future__ import annotations

from typing import Any

import pytest

from sioload.measure.recorder import Recorder
from sioload.report import capacity, drill
from sioload.report.ci import junit_xml, markdown
from sioload.report.document import report
from sioload.report.merge import Swarm
from sioload.report.summary import summary_text
from sioload.report.words import counted, ms


@pytest.mark.parametrize(
    ("number", "what", "form", "text"),
    [
        (0, "user", "", "0 users"), (1, "user", "", "1 user"), (2, "push", "", "2 pushes"),
        (1, "push", "", "1 push"),        (1.2, "user", ",.0f", "1 user"), (1234, "user", ",", "1,234 users"),
    ],
)  # fmt: skip
def test_numbers_are_said_as_people_do(number: float, what: str, form: str, text: str) -> None:
    assert counted(number, what, form) == text


def test_milliseconds_have_three_digits_or_those_before_the_point() -> None:
    told = {
        0.5: "0.50",
        9.99: "9.99",
        10.0: "10.0",
        99.94: "99.9",
        100.0: "100",
        100.4: "100",
        12345.6: "12346",
    }
    assert {value: ms(value) for value in told} == told and ms(None) == "-"


def test_one_user_is_one_wherever_a_run_is_told() -> None:
    recorder = Recorder()
    recorder.ledger.emits = recorder.ledger.acked = 1
    recorder.row("CALL", "echo").add(0.1)
    swarm = Swarm()
    swarm.take("local", recorder.snapshot(1))
    told: Any = report(swarm.figures(), version="0", started=0.0, duration=1, host="", peak_users=1)
    told["phases"] = [
        {"name": "up", "start_s": 0, "end_s": 1, "users": {"start": 0, "end": 1, "peak": 1}, "failures": 1,
         "calls": {"count": 1, "rate": 1.0, "latency_ms": None}}
    ]  # fmt: skip
    text = summary_text(told)
    assert "sioload: 1 user, 1.0 s" in text and "1 emit: 1 acked" in text
    assert "1 user, 1.0 s" in markdown(told)
    assert "1 user at the peak, 1 call, 1 failure" in junit_xml(told)


def test_one_user_is_one_in_a_search_and_a_drill() -> None:
    assert capacity.so_many(1, "users") == "1 user"
    assert capacity.so_many(1, "sessions per second") == "1 session per second"
    assert capacity.so_many(8, "sessions per second") == "8 sessions per second"
    mark = {
        "at_s": 1.0, "done": "cut 50%", "lost": 1, "by_reason": {}, "back_ms": None, "not_back": 0,
        "recovered_sessions": 1, "refused": 1, "peak_connects_per_s": 1, "indeterminate": 1,
        "missed_pushes": 1,        "server_noticed_ms": None, "calm_after_s": 1.0,  "watch_s": 9.0,
    }  # fmt: skip
    (line,) = drill.lines([mark])
    assert ": 1 user lost their session; 0 not back; 1 session recovered; " in line
    assert "1 attempt refused, up to 1 connect a second; 1 emit indeterminate; 1 push missed; " in line
