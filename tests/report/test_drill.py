"""What came of a drill, from figures of its windows; and checks on it."""

from __future__ import annotations

from typing import Any

import pytest

from sioload.errors import CheckError
from sioload.measure.outage import Outage
from sioload.measure.recorder import Recorder
from sioload.report.checks import parse
from sioload.report.ci import markdown
from sioload.report.document import report
from sioload.report.drill import Asked, Mark, document, lines, outside
from sioload.report.evaluation import evaluate
from sioload.report.figures import Figures, Window
from sioload.report.history import History
from sioload.report.merge import Swarm
from sioload.report.series import drill_series

ASKED = Asked([40.0], 30.0, ["docker", "restart", "my chat"])


def drilled(
    p99s: list[float], failing: tuple[int, ...] = (), until: float = 70.0, raising: tuple[int, ...] = ()
) -> tuple[Mark, Figures]:
    """A run that is cut at each boundary, with calls of such times in the windows between them."""
    mark = Mark(10.0, 40.0, until, 0, "restarted")
    swarm, recorder = Swarm(), Recorder("e")
    swarm.windows.mark(mark.boundaries, 0.0)
    row = recorder.row("CALL", "echo")
    for number, (at, seconds) in enumerate(zip(mark.boundaries, [0.01, *p99s], strict=True)):
        row.add(
            seconds,
        ) if seconds else None
        if number in failing:
            recorder.row("DISCONNECT", "server").fail("gone")
        if number in raising:
            recorder.population.raised("KeyError", "u.py:1", "why")
            recorder.ledger.emits += 1
            recorder.ledger.end("indeterminate")
        swarm.take_cut("w", recorder.epoch, {"mark": at, "cut": at, "snapshot": recorder.snapshot(0)})
    recorder.outages.watch(40.0, 70.0)
    user, other = object(), object()
    recorder.outages.down(user, 40.1, "transport closed")
    recorder.outages.down(other, 40.2, "transport closed")
    recorder.outages.failed(41.5)
    recorder.outages.up(user, 42.1, True)
    swarm.take("w", recorder.snapshot(1))
    return mark, swarm.figures()


@pytest.mark.parametrize(
    ("p99s", "calm"),
    [
        ([0.1, 3.0, 0.9, 0.12, 0.14, 0.1, 0.1], 10.0),
        ([0.1, 0.1, 0.1, 3.0, 0.1, 0.1, 0.1], 0.0),
        ([0.1, 3.0, 0.1, 3.0, 0.1, 3.0, 0.1], None),
        ([0.1, 0.0, 0.1, 0.0, 0.0, 0.1, 0.1], 20.0),
        ([0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], None),
    ],
)
def test_calm_is_two_windows_in_a_row_about_as_fast_as_before(p99s: list[float], calm: float | None) -> None:
    mark, figures = drilled(p99s)
    (found,) = document(ASKED, [mark], figures, 5.0)
    assert found["calm_after_s"] == calm
    assert found["at_s"] == 35.0 and found["command"] == "docker restart 'my chat'"
    assert found["lost"] == 2 and found["not_back"] == 1 and found["recovered_sessions"] == 1
    assert found["back_ms"]["p99"] == pytest.approx(2000, rel=0.01) and found["server_noticed_ms"] is None
    assert found["missed_pushes"] is None and found["exit_code"] == 0 and found["output"] == "restarted"
    assert found["refused"] == 1 and found["refusals"] == [0, 1] and found["connects"] == [0, 0, 1]
    (told,) = lines([found])
    assert "2 users lost their session (2 transport closed); back after p50 2.00 s" in told


@pytest.mark.parametrize(("until", "calm"), [(50.0, 0.0), (49.0, None), (54.9, 0.0), (45.3, None)])
def test_what_is_left_of_a_watch_is_no_window_of_five_seconds(until: float, calm: float | None) -> None:
    mark, figures = drilled([0.1] * (len(Mark(10.0, 40.0, until).boundaries) - 1), until=until)
    (found,) = document(ASKED, [mark], figures, 5.0)
    assert found["calm_after_s"] == calm
    short = "watched too short to tell when calls are calm: "
    assert (short in lines([found])[0]) == (until < 50.0)


@pytest.mark.parametrize(
    ("p99s", "before", "said"),
    [
        ([0.1, 3.0, 0.9, 0.12, 0.14, 0.1, 0.1], 100.0, "calls calm after 10 s"),
        ([0.1, 3.0, 0.1, 3.0, 0.1, 3.0, 0.1], 100.0, "calls not calm within 30 s"),
        ([0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], None, "no calls before it, to tell what calm is"),
    ],
)
def test_it_says_why_nothing_is_known_of_calm(p99s: list[float], before: float | None, said: str) -> None:
    mark, figures = drilled(p99s)
    (found,) = document(ASKED, [mark], figures, 5.0)
    assert found["p99_before_ms"] == (before and pytest.approx(before, rel=0.01))
    assert lines([found])[0].endswith(f"; {said}")


def test_what_a_window_told_is_not_looked_up_again_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    mark, figures = drilled([0.1, 3.0, 0.9, 0.12, 0.14, 0.1, 0.1], failing=(1, 3))
    found, unexplained = document(ASKED, [mark], figures, 5.0), outside([mark], figures)
    assert figures.windows and all(window.final for window in figures.windows)
    monkeypatch.setattr(Window, "figures", lambda _: pytest.fail("it is unpacked again"))
    assert document(ASKED, [mark], figures, 5.0) == found and outside([mark], figures) == unexplained == 1


def test_what_was_forgotten_on_the_way_is_not_told() -> None:
    mark, figures = drilled([0.1] * 7)
    assert len(document(ASKED, [mark], figures, 40.0)) == 1 and document(ASKED, [mark], figures, 40.1) == []


def test_a_mark_is_drawn_with_what_came_before_and_after_it() -> None:
    history, swarm, recorder = History(), Swarm(), Recorder("e")
    row, made = recorder.row("CALL", "echo"), recorder.connections
    for _ in range(3):
        made.open("websocket")
    for second in range(1, 9):
        row.add(0.01 * second)
        if second == 5:
            made.close("websocket", "transport closed")
        swarm.take("w", recorder.snapshot(second))
        history.feed(float(second), swarm.figures(), 3)
    number = history.rows.index(("CALL", "echo"))
    mark = {"at_s": 4.0, "watch_s": 20.0, "command": None, "done": "30 % of the connections cut",
            "connects": [0, 0, 2], "refusals": [1, 7]}  # fmt: skip
    drawn = drill_series(mark, history.points, {number})
    assert drawn["end"] == [1, 2, 3, 4, 5, 6, 7, 8] and drawn["what"] == "30 % of the connections cut"
    assert drawn["connections"] == [3, 3, 3, 3, 2, 2, 2, 2]
    assert drawn["connects"] == [3, 0, 0, 0, 0, 0, 2, 0]
    assert drawn["refused"] == [None, None, None, None, 1, 7, 0, 0]
    assert drawn["p99"] == pytest.approx([10.0 * second for second in range(1, 9)], rel=0.04)
    long = drill_series({**mark, "watch_s": 2400.0}, history.points, {number})
    assert long["end"] == [4], "a point for 11 seconds each: 240 in all"


def test_a_jobs_summary_tells_of_it() -> None:
    mark, figures = drilled([0.1] * 7)
    made = report(figures, version="0", started=0.0, duration=70.0, host="http://h", peak_users=2, checks=[],
                  exit_code=0)  # fmt: skip
    text = markdown({**made, "drill": document(ASKED, [mark], figures, 5.0)})
    assert "\nDrill at 35.0 s docker restart 'my chat' (exit code 0): 2 users lost their session" in text
    assert "Drill" not in markdown(made)


def test_failures_while_users_are_watched_are_explained() -> None:
    p99s = [0.1] * 7
    for failing, found in (((), 0), ((3, 4), 0), ((0, 3), 1), ((1,), 1)):
        mark, figures = drilled(p99s, failing)
        assert outside([mark], figures) == found


def test_what_was_done_and_what_came_of_it_is_told() -> None:
    mark, figures = drilled([0.1] * 7)
    (found,) = document(Asked([40.0], 30.0, cut=0.125, silent=True), [mark], figures, 5.0)
    assert (found["command"], found["cut"], found["silent"]) == (None, 0.125, True)
    assert found["done"] == "12.5 % of the connections cut silently"
    assert found["back_ms"]["max"] == 2000.0 and found["peak_connects_per_s"] == 1
    mark.exit_code = None
    figures.outages = [Outage(40.0, 70.0)]
    (found,) = document(ASKED, [mark], figures, 5.0)
    assert found["done"] == "docker restart 'my chat' (still running)" and found["cut"] is None
    assert (found["back_ms"], found["peak_connects_per_s"], found["refused"]) == (None, 0, 0)


def test_exceptions_and_lost_emits_of_a_watch_are_those_between_its_boundaries() -> None:
    for raising, lost, unexplained in (((), 0, 0), ((2, 3, 5), 3, 0), ((0, 1, 2), 1, 2)):
        mark, figures = drilled([0.1] * 7, raising=raising)
        (found,) = document(ASKED, [mark], figures, 5.0)
        assert (found["indeterminate"], outside([mark], figures)) == (lost, unexplained)
    assert found["watch_s"] == 30.0


def judged(text: str, *marks: dict[str, Any]) -> tuple[bool, str]:
    result = evaluate(parse(text), Figures(drill=marks), duration=1, peak_users=1)
    return result.ok, result.value


def test_checks_judge_the_worst_mark() -> None:
    mark, figures = drilled([0.1, 3.0, 0.1, 0.1, 0.1, 0.1, 0.1])
    (bad,) = document(ASKED, [mark], figures, 5.0)
    none = Outage(40.0, 70.0)
    figures.outages = [none]
    (good,) = document(ASKED, [mark], figures, 5.0)
    assert (
        judged("drill: not_back == 0", good) == (True, "0")
        and not judged("drill: not_back == 0", good, bad)[0]
    )
    assert judged("drill: lost >= 1", bad)[0] and not judged("drill: lost >= 1", bad, good)[0]
    assert (
        judged("drill: back_p99 < 30s", bad) == (True, "2000 ms")
        and judged("drill: back_p99 < 1s", bad)[0] is False
    )
    assert judged("drill: back_p99 < 30s", good) == (True, "nobody was lost")
    assert judged("drill: calm_after < 30s", bad) == (True, "5000 ms")
    for text, marks, reason in (
        ("drill: server_noticed_p50 < 30s", [bad], "no server_noticed_p50 was measured"),
        ("drill: lost == 0", [], "nothing was drilled"),
        ("drill: back_p99 < 1s", [good, bad], "back_p99 is 2000 ms, not < 1000 ms"),
    ):
        result = evaluate(parse(text), Figures(drill=marks), duration=1, peak_users=1)
        assert not result.ok and result.reason == reason
    for text, told in [
        ("drill: backp99 < 1s", "nearest: 'back_p99'"),
        ("drill: back_p99 < 1", "needs a unit"),
        ("drill[x]: lost == 0", "takes no name"),
        ("drill: lost == 0 in peak", "judged over the whole run"),
        ("CALL: back_p99 < 1s", "unknown stat"),
    ]:
        with pytest.raises(CheckError, match=told.replace("[", r"\[")):
            parse(text)


def test_a_check_holds_for_each_mark_and_a_mark_that_lost_nobody_has_nobody_to_come_back() -> None:
    mark, figures = drilled([0.1] * 7)
    (bad,) = document(ASKED, [mark], figures, 5.0)
    none = {**bad, "lost": 0, "by_reason": {}, "back_ms": None, "not_back": 0, "exit_code": -9}
    gone = {**bad, "back_ms": None}
    assert judged("drill: back_p99 < 30s", none, bad) == (True, "2000 ms")
    assert judged("drill: back_p99 < 1s", none, bad) == (False, "2000 ms")
    assert judged("drill: back_p99 < 30s", none, none) == (True, "nobody was lost")
    assert judged("drill: back_p99 < 30s", bad, gone) == (False, "none"), "who was lost there never came back"
    # The command of one mark was killed; its exit code is the lower one.
    assert judged("drill: exit_code == 0", none, bad) == (False, "-9")
    assert judged("drill: exit_code == 0", bad, bad) == (True, "0")
    assert judged("drill: lost == 2", none, bad) == (False, "0")
    assert judged("drill: lost != 0", none, bad) == (False, "0")


def test_what_is_asked_travels_as_text() -> None:
    assert Asked.of(ASKED.text()) == ASKED
