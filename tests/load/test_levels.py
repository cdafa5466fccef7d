"""What a search for capacity asks of a level, and how it tells what came out; without users and time."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from sioload.client.schedule import Pace
from sioload.errors import CheckError
from sioload.measure.health import HealthTotals, Windows, judge
from sioload.measure.recorder import Recorder
from sioload.report.capacity import (
    Asked,
    connected,
    document,
    expectation,
    head,
    judged_by_level,
    level_of,
    lines,
    lived,
    met,
    narrowly,
)
from sioload.report.checks import parse
from sioload.report.ci import junit_xml, markdown
from sioload.report.document import report
from sioload.report.evaluation import evaluate
from sioload.report.figures import Figures
from sioload.report.merge import Swarm
from sioload.report.summary import summary_text

ASKED = Asked(100, 1600, False, 30.0, 10.0, 0.05, 1800.0)
CHECK = "CALL: p99 < 100ms"


def counted(ms: float) -> Figures:
    """600 calls that took so long, and 300 pushes."""
    recorder, swarm = Recorder(), Swarm()
    for number in range(600):
        recorder.row("CALL", "message").add(ms / 1000)
        recorder.ledger.emits += 1
        recorder.ledger.end("acked")
        if number % 2:
            recorder.row("PUSH", "news").add(0.001)
    swarm.take("local", recorder.snapshot(1))
    return swarm.figures()


def level(load: int, ms: float, *, long: bool = False, limited: bool = False, cpu: float = 0.25) -> Any:
    figures = counted(ms)
    results = [evaluate(parse(CHECK), figures, duration=30, peak_users=load)]
    health = judge([("local", HealthTotals(steady=Windows(6, 6 * limited, cpu, worst_cpu=cpu)))])
    return level_of(
        figures, results, load=load, users=load, connected=load, seconds=60.0 if long else 30.0,
        health=health, limited=limited, long=long, began=10.0,
    )  # fmt: skip


LEVELS = [level(100, 20.0), level(200, 104.0), level(150, 60.0), level(150, 65.0, long=True)]
FOUND = document(ASKED, LEVELS, holds=150, breaks=200, reason="limit", confirmed=True)


def told(found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return report(
        counted(20.0), version="0.1.0", started=0.0, duration=99.0, host="http://x", peak_users=200,
        capacity=found, **more,
    )  # fmt: skip


def test_the_sentence_tells_what_holds_what_broke_and_what_the_generator_had_left() -> None:
    assert FOUND["by"] == CHECK and FOUND["unit"] == "users"
    assert LEVELS[3]["end_s"] == 70.0 and LEVELS[3]["answers_per_s"] == 15.0
    text = FOUND["summary"]
    assert text.startswith("holds 150 users (confirmed: 15 acks and pushes a second, p50 6")
    assert "200 users broke it: CALL: p99 < 100ms (p99 is 10" in text
    assert text.endswith("the busiest process of the generator had 75% of a core left")


@pytest.mark.parametrize(
    "levels, answer, says",
    [
        ([level(100, 20.0)], (100, None, "budget", False), "holds at least 100 users (not confirmed"),
        ([level(100, 20.0)], (100, None, "cap", True), "the most that was asked for"),
        ([level(100, 20.0)], (100, None, "plateau", True), "more load gained no throughput"),
        ([level(100, 20.0)], (100, None, "interrupted", False), "was interrupted before the limit was found"),
        ([level(100, 500.0)], (None, 100, "first level", False), "no number: no level held; 100 users broke"),
        ([level(100, 2.0), level(100, 500.0)], (None, 100, "limit", False), "no level held a second time"),
        ([], (None, None, "interrupted", False), "no number: no level was measured; the search was"),
    ],
)
def test_each_end_is_told(levels: list[Any], answer: tuple[Any, ...], says: str) -> None:
    holds, breaks, reason, sure = answer
    found = document(ASKED, levels, holds=holds, breaks=breaks, reason=reason, confirmed=sure)
    assert says in found["summary"]


def test_a_generator_at_its_limit_says_at_least_and_what_to_do() -> None:
    levels = [level(100, 20.0), level(200, 30.0, limited=True, cpu=0.99)]
    found = document(ASKED, levels, holds=100, breaks=None, reason="generator", confirmed=False)
    assert "holds at least 100 users" in found["summary"] and "at 200 users the" in found["summary"]
    assert "CPU up to 99% of a core" in found["summary"] and "--processes" in found["summary"]
    assert lines(levels[1])[0].endswith("generator limited")
    shown = told(found, limited=True)
    assert shown["untrusted"] == ["the load generator itself was the limit"]


def test_the_lines_of_levels_fit_80_columns_and_stand_below_their_head() -> None:
    rows = [head(ASKED), *lines(LEVELS[1]), *lines(level(999_999, 12_345.6, long=True, cpu=1.0))]
    assert max(map(len, rows)) <= 80
    assert rows[1].split()[:2] == ["200", "200"] and rows[1].endswith("FAILED")
    assert rows[2].strip().startswith("CALL: p99 < 100ms: p99 is 10")
    assert rows[0].index("p99 ms") + len("p99 ms") == rows[1].rindex("104") + len("104")


def test_reports_junit_summary_and_a_jobs_page_say_the_same() -> None:
    shown = told(FOUND)
    assert shown["capacity"] == FOUND
    text = summary_text(shown, width=80)
    assert FOUND["summary"] in " ".join(text.split()) and max(map(len, text.splitlines())) <= 80
    assert "type  name" not in text
    suite = ElementTree.fromstring(junit_xml(shown))[0]
    (case,) = suite.findall("testcase")
    assert case.get("name") == "capacity" and FOUND["summary"] in str(case.findtext("system-out"))
    assert len(suite.findall("properties/property")) == 1 + len(LEVELS)
    page = markdown(shown)
    assert "| users | connected |" in page and head(ASKED).startswith("    users  connected")
    assert re.search(r"\| 100 \| 100 \| 30\.0 \| .* \| held \|\n\| 200 ", page)
    assert re.search(r"\| 150 \| 150 \| 15\.0 \| .* \| held \(to confirm\) \|\n", page)
    assert "| **failed**: CALL: p99 &#60; 100ms |" in page
    assert "| 200 | 200 | 30.0 |" in page and "**failed**" in page and "(to confirm)" in page
    missed = told(FOUND, checks=[met(">= 4000", 150, "users")])
    assert ElementTree.fromstring(junit_xml(missed))[0].get("failures") == "1"
    assert "it holds 150 users, not &#62;= 4000" in markdown(missed)


def test_what_is_expected_is_met_or_not() -> None:
    assert expectation(" >=4000 ") == (">=", 4000)
    assert met(">= 150", 150, "users").ok and not met("> 150", 150, "users").ok
    assert met(">= 150", None, "users").reason == "no number was found"


@pytest.mark.parametrize(
    "check, ms, narrow",
    [
        ("CALL: p99 < 100ms", 105.0, True),
        ("CALL: p99 < 100ms", 120.0, False),
        ("CALL: p50 == 100ms", 101.0, False),
        ("CALL: rate >= 21", 1.0, True),
        ("CALL: rate >= 40", 1.0, False),
        ("ledger: acked <= 0", 1.0, False),
        ("CALL[none]: p99 < 100ms", 1.0, False),
    ],
)
def test_a_narrow_miss_is_one_by_less_than_a_tenth(check: str, ms: float, narrow: bool) -> None:
    result = evaluate(parse(check), counted(ms), duration=30, peak_users=1)
    assert not result.ok
    assert narrowly([result]) is narrow
    fine = evaluate(parse("CALL: count > 0"), counted(ms), duration=30, peak_users=1)
    assert narrowly([fine, result]) is narrow, "what holds was missed by nothing"
    wide = evaluate(parse("CALL: p99 < 1us"), counted(ms), duration=30, peak_users=1)
    assert not narrowly([result, wide])


def test_a_level_is_reached_with_99_in_100_users_connected() -> None:
    assert connected(200, 200, 198, arrivals=False).ok
    assert not connected(200, 200, 197, arrivals=False).ok
    assert narrowly([connected(200, 200, 197, arrivals=False)])
    assert not narrowly([connected(200, 200, 100, arrivals=False)])
    assert not connected(200, 100, 100, arrivals=False).ok  # the others have died
    assert connected(10, 300, 290, arrivals=True).ok  # those of the last second are on their way
    assert not connected(10, 300, 280, arrivals=True).ok
    assert connected(10, 300, 290, arrivals=True, died=2).ok
    assert not connected(10, 300, 290, arrivals=True, died=3).ok
    assert not connected(4, 4, 4, arrivals=True, died=1).ok
    assert lived(200, 2).ok and lived(0, 0).ok and not lived(200, 3).ok
    assert connected(10, 300, 290, arrivals=True, died=3).value == "290 of 303"
    few = connected(200, 200, 197, arrivals=False)
    assert few.reason == "197 of 200 were in at the end of settling, not 99 %"
    assert connected(200, 200, 198, arrivals=False).reason == lived(200, 2).reason == ""
    assert lived(200, 3).reason == "3 of 200 sessions died"


@pytest.mark.parametrize(
    "check, says",
    [
        ("CALL: p99 < 1s in peak", "leave 'in' out"),
        ("CALL: p99 < 1s after 5s", "leave 'after' out"),
        ("CALL: p99 < 1s abort after 5s", "leave 'abort after' out"),
        ("run: workers_lost == 0", "of the whole run"),
        ("server[api/event_loop_lag]: max < 1s", "of the whole run"),
        ("drill: not_back == 0", "'not_back' is of a drill"),
    ],
)
def test_checks_are_of_levels(check: str, says: str) -> None:
    judged_by_level([parse(CHECK)])
    with pytest.raises(CheckError, match="a search needs a check"):
        judged_by_level([])
    with pytest.raises(CheckError, match=says):
        judged_by_level([parse(CHECK), parse(check)])


def test_a_pace_that_begins_anew_owes_nothing_and_keeps_its_place_in_time() -> None:
    pace, row = Pace(1.0, now=100.0), Recorder().row("CALL", "x")
    assert pace.take(row, 100.0) == 100.0
    assert pace.renew(100.5) == 0
    # A call that took from 100 to 107.3 s: the slots 1 to 7 are owed.
    assert pace.renew(107.3) == 7
    assert pace.next(107.4) == pytest.approx(0.6)
    # An iteration that was about to begin late begins now, and counts from now.
    assert pace.take(row, 108.0) == 108.0
    assert pace.next(112.5) == 0.0
    assert pace.renew(112.5) == 3
    assert pace.take(row, 112.6) == 112.5
    assert pace.next(112.7) == pytest.approx(0.3)
    assert pace.close(113.5) == 0
    assert pace.renew(150.0) == 0
