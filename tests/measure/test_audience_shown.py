"""Audiences in checks, reports, parts of a run and its history."""

from __future__ import annotations

import pytest
from audiencekit import NAME, Chat, Said

from sioload.measure.blocks import blocks_of
from sioload.measure.recorder import Recorder
from sioload.report.checks import parse
from sioload.report.document import report
from sioload.report.evaluation import evaluate
from sioload.report.figures import Figures, between
from sioload.report.history import SPREAD, History
from sioload.report.merge import Swarm
from sioload.report.series import reach_series, row_series
from sioload.report.summary import summary_text

GRACE = 1.0
MARK = 20.0


def swarm_of(recorder: Recorder) -> tuple[Swarm, Chat]:
    """Ten messages to a room of four, at 10, 11 ... 19 s, of which the third misses one; a stray at 19 s; and
    two messages after the boundary at 20 s. Each takes 10 ms to the first, and 100 ms more to the last."""
    swarm = Swarm()
    swarm.windows.mark([MARK], 0.0)
    chat = Chat(1, GRACE)
    chat.audiences = swarm.audiences
    chat.report(0, 0.0)
    for number in range(4):
        chat.join(chat.user(0, f"user {number}"), "<b>lobby", 0.0)
    stray = chat.user(0, "stray")
    for number in range(12):
        id, at = f"<i>{number}", 10.0 + number + (number >= 10)
        chat.said[id] = Said("<b>lobby", None, at)
        for place, user in enumerate(chat.users[: 3 if number == 2 else 4]):
            chat.arrive(id, user, at + 0.01 + place / 30)
        if number == 9:
            chat.arrive(id, stray, at + 0.02)
    swarm.take("worker 0", recorder.snapshot(1))
    swarm.take_cut("worker 0", recorder.epoch, {"mark": MARK, "cut": MARK, "snapshot": recorder.snapshot(1)})
    chat.end(30.0)
    swarm.take("worker 0", recorder.snapshot(2))
    return swarm, chat


@pytest.fixture
def swarm() -> Swarm:
    return swarm_of(Recorder("0"))[0]


@pytest.mark.parametrize(
    ("text", "ok", "value"),
    [
        ("FANOUT[message]: p50 < 500ms", True, "110.2 ms"),
        ("FANOUT: count == 12", True, "12"),
        ("FANOUT: failures == 0", False, "1"),
        ("FANOUT: reach >= 99.99%", False, "97.9166%"),
        ("FANOUT: reach > 0.97", True, "97.9166%"),
        ("FANOUT: missed == 0", False, "1"),
        ("FANOUT: strays == 1", True, "1"),
        ("FANOUT: duplicates == 0", True, "0"),
        ("FANOUT: late == 0", True, "0"),
        ("FANOUT: unjudged == 0", True, "0"),
        ("FANOUT: spread_p99 <= 101ms", True, "100 ms"),
        ("FANOUT: spread_max > 99ms", True, "100 ms"),
        ("FANOUT[other]: missed == 0", False, "no samples"),
    ],
)
def test_checks(swarm: Swarm, text: str, ok: bool, value: str) -> None:
    result = evaluate(parse(text), swarm.figures(), duration=30.0, peak_users=5)
    assert (result.ok, result.value) == (ok, value), result.reason


def test_a_part_of_the_run_has_what_was_heard_in_it(swarm: Swarm) -> None:
    figures = swarm.figures()
    before, after = between(figures, end=MARK), between(figures, begin=MARK)
    assert before is not None and after is not None
    counts = [part.audience.names()[NAME].counts() for part in (before, after)]
    assert [(each["messages"], each["missed"], each["strays"]) for each in counts] == [(10, 1, 1), (2, 0, 0)]
    rows = [[row.count for row in part.rows if row.type == "FANOUT"] for part in (before, after, figures)]
    assert rows == [[10], [2], [12]]


def test_the_report_and_its_summary(swarm: Swarm) -> None:
    document = report(swarm.figures(), version="1", started=0.0, duration=30.0, host="http://h", peak_users=5)
    (heard,) = document["audience"]
    assert heard["name"] == NAME and heard["share"] == 1
    assert (heard["messages"], heard["owed"], heard["reached"], heard["missed"]) == (12, 48, 47, 1)
    assert heard["spread_ms"]["max"] == pytest.approx(100, abs=0.01)
    assert heard["worst"] == [{"room": "<b>lobby", "id": "<i>2", "missed": 1, "of": 4}]
    (event,) = [event for event in document["events"] if event["type"] == "FANOUT"]
    assert (event["count"], event["errors"]) == (12, {"not all of its audience got it": 1})
    blocks = [(number, each.count, each.failures) for number, each in blocks_of(event["blocks"]).items()]
    assert blocks == [(number, 1, int(number == 2)) for number in (*range(10), 11, 12)], "by last arrivals"
    assert document["blocks"] == {"seconds": 1.0, "number": 13, "start_s": 10.0}
    told = " ".join(summary_text(document, 200).split())
    assert "message: 12 messages, 47 of 48 reached, 1 missed, 1 stray, 0 duplicates, 0 late" in told
    assert "1 of 4 missed <i>2 in <b>lobby" in told


def test_where_nobody_is_in_a_room_it_is_said_how_scripts_say_it() -> None:
    swarm, chat = Swarm(), Chat(1, GRACE)
    chat.audiences = swarm.audiences
    chat.said["1"] = Said("lobby", None, None)
    chat.arrive("1", chat.user(0, "ann"), 5.0)
    chat.end(9.0)
    swarm.take("worker 0", Recorder("0").snapshot(1))
    document = report(swarm.figures(), version="1", started=0.0, duration=9.0, host="http://h", peak_users=1)
    told = " ".join(summary_text(document, 200).split())
    assert "1 stray," in told and "scripts say it with self.sio.rooms.add(room)" in told
    result = evaluate(parse("FANOUT: strays == 0"), swarm.figures(), duration=9.0, peak_users=1)
    assert not result.ok and result.reason == "strays is 1, not == 0"


def test_the_history_has_reach_and_spread(swarm: Swarm) -> None:
    history = History()
    history.feed(1.0, Figures(), 5)
    history.feed(2.0, swarm.figures(), 5)
    history.feed(3.0, swarm.figures(), 5)
    assert reach_series(history.points, NAME) == [None, 97.917, None]
    number = history.rows.index((SPREAD, NAME))
    assert row_series(history.points, number)["times"]["max"][1] == pytest.approx(100, rel=0.05)
    joined = history.points[1].joined(history.points[2])
    assert joined.heard == {NAME: (48, 47)}
