from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sioload.measure.connections import Connections
from sioload.measure.health import WINDOW, Health
from sioload.measure.histogram import TICKS, Histogram
from sioload.measure.rows import Totals
from sioload.report.figures import Figures
from sioload.report.history import OPENING, STATS, History, Point, joined_bounds


def figures(*rows: Totals, connections: Connections | None = None) -> Figures:
    return Figures(rows=list(rows), connections=connections or Connections())


def call(name: str = "echo") -> Totals:
    return Totals("CALL", name)


def cell_of(point: Point, number: int = 0) -> tuple[int, int]:
    return point.cells[number].count, point.cells[number].failures


def test_a_point_holds_what_came_since_the_last_one() -> None:
    history, row = History(), call()
    row.times.add(0.010, 5)
    history.feed(1.0, figures(row), users=3)
    row.times.add(0.020, 2)
    row.untimed, row.errors = 1, {"no": 1}
    history.feed(2.5, figures(row), users=4)
    first, second = history.points
    assert (first.start, first.end, first.users) == (0.0, 1.0, 3)
    assert (second.start, second.end, second.users) == (1.0, 2.5, 4)
    assert cell_of(first) == (5, 0)
    assert cell_of(second) == (3, 1)
    assert second.cells[0].times[STATS.index("p50")] == pytest.approx(20, rel=0.04)
    assert history.rows == [("CALL", "echo")]


def test_a_row_that_stands_still_takes_no_room() -> None:
    history, busy, still = History(), call("busy"), call("still")
    still.times.add(0.001)
    for second in range(1, 4):
        busy.times.add(0.001)
        history.feed(float(second), figures(busy, still), users=1)
    assert [sorted(point.cells) for point in history.points] == [[0, 1], [0], [0]]


def test_time_must_pass_between_points() -> None:
    history, row = History(), call()
    history.feed(1.0, figures(row), users=1)
    row.times.add(0.001)
    history.feed(1.0, figures(row), users=1)
    assert len(history.points) == 1
    history.feed(1.2, figures(row), users=1)
    assert cell_of(history.points[-1]) == (1, 0), "what came meanwhile is in the next point"


def test_a_reset_of_a_row_is_no_negative_count() -> None:
    history, row = History(), call()
    row.times.add(0.001, 10)
    history.feed(1.0, figures(row), users=1)
    fresh = call()
    fresh.times.add(0.002, 4)
    history.feed(2.0, figures(fresh), users=1)
    assert cell_of(history.points[-1]) == (4, 0)


def test_a_new_run_starts_at_zero() -> None:
    history, row = History(), call()
    row.times.add(0.001, 10)
    history.feed(50.0, figures(row), users=1)
    history.clear()
    assert history.points == [] and history.rows == []
    history.feed(1.0, figures(row), users=1)
    assert (history.points[0].start, cell_of(history.points[0])) == (0.0, (10, 0))


def test_history_is_bounded_and_coarser_with_age() -> None:
    history, row = History(keep=10, levels=5), call()
    for second in range(1, 5001):
        row.times.add(0.001)
        history.feed(float(second), figures(row), users=second)
    points = history.points
    assert len(points) <= 5 * (10 + 1)
    lengths = [point.seconds for point in points]
    assert lengths == sorted(lengths, reverse=True)
    assert set(lengths) == {1.0, 2.0, 4.0, 8.0, 16.0}
    assert points[-1].end == 5000.0
    assert all(one.end == other.start for one, other in pairwise(points))
    assert all(point.cells[0].count == point.seconds for point in points), "no sample is lost or doubled"


def test_nothing_is_dropped_in_hours() -> None:
    history, row = History(), call()
    for second in range(1, 21_601, 3):
        row.times.add(0.001)
        history.feed(float(second), figures(row), users=1)
    points = history.points
    assert points[0].start == 0.0
    assert sum(point.cells[0].count for point in points if point.cells) == row.count
    assert len(points) < 1000


def test_joined_spans_keep_counts_and_percentiles() -> None:
    rng = random.Random(7)
    history, row, truth = History(keep=2, levels=8), call(), Histogram()
    for second in range(1, 33):
        for _ in range(100):
            seconds = rng.lognormvariate(-5, 1)
            row.times.add(seconds)
            truth.add(seconds)
        history.feed(float(second), figures(row), users=1)
    points = history.points
    whole = points[0]
    for point in points[1:]:
        whole = whole.joined(point)
    cell = whole.cells[0]
    assert cell.count == 3200
    wanted = [seconds * 1000 for seconds in (*truth.percentiles((50, 95, 99, 99.9)), truth.max)]
    assert list(cell.times) == pytest.approx(wanted, rel=0.04)
    assert max(cell.times) == cell.times[-1], "no percentile is above the maximum"


def test_joined_buckets_lie_side_by_side_and_are_narrow() -> None:
    previous = 0
    for joined in range(32, 500):
        low, high = joined_bounds(joined)
        assert low == previous or joined == 32
        assert (high - low) / low <= 1 / 16
        previous = high
    assert joined_bounds(0) == (0, 8)


def test_connections_and_disconnects() -> None:
    history, made = History(keep=2, levels=3), Connections()
    made.open("polling")
    made.open("websocket")
    made.opening = 3
    history.feed(1.0, figures(connections=made), users=5)
    made.close("polling", "transport close")
    made.opening = 1
    history.feed(2.0, figures(connections=made), users=5)
    newest = history.points[-1]
    assert (newest.opened, newest.closed) == (0, {"transport close": 1})
    assert newest.connections == {"websocket": 1, OPENING: 1}
    history.feed(3.0, figures(connections=made), users=5)
    joined = history.points[0]
    assert (joined.opened, joined.closed) == (2, {"transport close": 1})
    assert joined.connections == {"polling": 0.5, "websocket": 1.0, OPENING: 2.0}, "averages over the span"


def test_the_generator_shows_once_it_was_measured() -> None:
    history, health, all_figures = History(keep=1, levels=3), Health(), figures()
    all_figures.health = [("local", health.totals)]
    history.feed(1.0, all_figures, users=1)
    assert history.points[-1].processes == {}
    health.begin()
    health.tick(0.0, 0.0, 0.0, 0.0)
    for own, at in ((0.004, 2.0), (0.001, 4.0)):
        health.tick(at / 2 * WINDOW - 0.1, own, own, own)
        health.close(at / 2 * WINDOW, None)
        history.feed(at, all_figures, users=1)
    cpu, own, machine = history.points[-1].processes["local"]
    assert (cpu, own, machine) == (pytest.approx(0.001 / WINDOW), pytest.approx(0.001, rel=0.01), 0.0)
    history.feed(8.0, all_figures, users=1)
    joined = history.points[0].processes["local"]
    assert joined[1] == pytest.approx(0.004, rel=0.01), "the worst lag of a span stays to be seen"


def test_the_longest_time_is_never_longer_than_measured() -> None:
    history, row = History(), call()
    row.times.add(1.0)
    history.feed(1.0, figures(row), users=1)
    assert history.points[0].cells[0].top <= 1.0 * TICKS


def test_times_beyond_ten_minutes_are_no_shorter_in_charts_than_in_the_report() -> None:
    history, row = History(), call()
    row.times.add(0.001)
    history.feed(1.0, figures(row), users=1)
    row.times.add(0.001, 97)
    row.times.add(7200.0, 3)
    history.feed(2.0, figures(row), users=1)
    shown = dict(zip(STATS, history.points[1].cells[0].times, strict=True))
    assert shown["p50"] == pytest.approx(1, rel=0.04)
    assert shown["p99"] == shown["max"] == row.times.percentile(99) * 1000 == 7_200_000
