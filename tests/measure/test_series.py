from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sioload.measure.connections import Connections
from sioload.measure.health import Health
from sioload.measure.ledger import Ledger
from sioload.measure.rows import Totals
from sioload.report.figures import Figures
from sioload.report.history import STATS, History
from sioload.report.series import regular, row_series, series


def run_of(seconds: int, keep: int = 10) -> History:
    """A run with 10 CALLs of 5 ms, one of which fails, and 4 EMITs each second; a pause from 3 s to 4 s."""
    history, ledger = History(keep=keep), Ledger()
    call, emit = Totals("CALL", "echo"), Totals("EMIT", "poke")
    made, health = Connections(), Health()
    for second in range(1, seconds + 1):
        if second != 4:
            call.times.add(0.005, 10)
            call.errors["no"] = call.errors.get("no", 0) + 1
            emit.untimed += 4
            ledger.emits += 14
            ledger.acked += 9
            ledger.error += 1
            ledger.sent += 4
            made.open("websocket")
        if second == 6:
            made.close("websocket", "ping timeout")
            health.begin()
            health.tick(5.0, 0.0, 0.0, 0.0)
            health.tick(6.0, 0.003, 0.002, 0.002)
            health.close(6.0, None)
        history.feed(
            float(second), Figures([call, emit], ledger, made, health=[("w1", health.totals)]), second
        )
    return history


def test_columns_are_as_long_as_the_run_and_show_what_happened() -> None:
    history = run_of(6)
    got = series(history.points)
    assert got["end"] == [1, 2, 3, 4, 5, 6]
    assert got["seconds"] == [1] * 6
    assert got["users"] == [1, 2, 3, 4, 5, 6]
    assert got["connections"] == {"websocket": [1, 2, 3, 3, 4, 4], "opening": [0] * 6}
    assert got["opened"] == [1, 1, 1, 0, 1, 1]
    assert got["closed"] == {"ping timeout": [0, 0, 0, 0, 0, 1]}
    assert got["outcomes"] == {
        "acked": [9, 9, 9, 0, 9, 9], "sent": [4, 4, 4, 0, 4, 4], "error": [1, 1, 1, 0, 1, 1]
    }  # fmt: skip
    calls, emits = row_series(history.points, 0), row_series(history.points, 1)
    assert calls["rate"] == [10, 10, 10, 0, 10, 10]
    assert calls["failures"] == [1, 1, 1, 0, 1, 1]
    assert (
        calls["times"]["p50"] == [pytest.approx(5, rel=0.04)] * 3 + [None] + [pytest.approx(5, rel=0.04)] * 2
    )
    assert list(calls["times"]) == list(STATS)
    assert emits["rate"] == [4, 4, 4, 0, 4, 4]
    assert emits["times"] is None
    process = got["processes"]["w1"]
    assert process["cpu"] == [None] * 5 + [0.002]
    assert process["own"][-1] == pytest.approx(2, rel=0.01)
    assert process["machine"][-1] == pytest.approx(1, rel=0.01)


def test_of_many_processes_those_with_the_most_lag_are_shown() -> None:
    points = run_of(3).points
    for n, point in enumerate(points):
        point.processes = {f"w{i}": (0.5, 0.001 * i if n == 1 else 0.0, 0.0) for i in range(250)}
    columns = series(points)
    assert list(columns["processes"]) == [f"w{i}" for i in range(242, 250)]
    assert (columns["measured"], columns["processes"]["w249"]["own"]) == (250, [0.0, 249.0, 0.0])


def test_columns_are_json() -> None:
    points = run_of(6).points
    for columns in (series(points), row_series(points, 0), row_series(points, 1)):
        assert json.loads(json.dumps(columns, allow_nan=False)) == columns


def test_rates_are_per_second_however_coarse_the_points() -> None:
    history = run_of(200, keep=4)
    points = history.points
    assert points[0].seconds > points[-1].seconds
    rates = row_series(points, 0)["rate"]
    assert rates[-1] == 10
    assert min(rates[1:]) == 10


@pytest.mark.parametrize(("seconds", "most"), [(1, 10), (7, 10), (50, 10), (500, 60), (500, 1)])
def test_regular_points_are_few_even_and_complete(seconds: int, most: int) -> None:
    points = run_of(seconds).points
    few = regular(points, most)
    assert 1 <= len(few) <= most
    assert (few[0].start, few[-1].end) == (0.0, float(seconds))
    assert sum(point.cells[0].count for point in few if point.cells) == 10 * (seconds - (seconds >= 4))
    longest = max(point.seconds for point in few)
    assert all(point.seconds >= longest / 2 for point in few[:-1])


def test_a_short_run_keeps_its_points_however_long_each_is() -> None:
    ends = [0.3, 1.3, 2.9, 3.5]
    spans = zip(run_of(4).points, [0.0, *ends], ends, strict=False)
    uneven = [replace(point, start=start, end=end) for point, start, end in spans]
    assert len(uneven) == 4 and regular(uneven, 240) == uneven


def test_no_history_is_no_chart() -> None:
    assert regular([], 100) == []
    assert series([])["end"] == [] and row_series([], 0)["rate"] == []


@pytest.mark.parametrize(
    ("seen", "outages"),
    [
        ([0, 1, 2, 3, 6, 7, 8, 9], [(4, 5)]),
        ([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11], [(5, 5)]),
        ([0, 3, 6, 9, 12, 15, 30, 33, 36, 39, 42, 45], [(16, 29)]),
        ([0, 3, 7, 10, 14, 17, 21], []),
        ([0, 1, 2], []),
        ([5], []),
        ([], []),
    ],
)
def test_an_outage_is_a_longer_silence_than_usual(seen: list[int], outages: list[tuple[int, int]]) -> None:
    history, row = History(), Totals("CALL", "echo")
    for second in range(46):
        if second in seen:
            row.times.add(0.005)
        history.feed(second + 1.0, Figures([row]), 1)
    assert row_series(history.points, 0)["outages"] == [list(outage) for outage in outages]
