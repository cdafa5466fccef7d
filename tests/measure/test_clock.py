from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure.clock import AHEAD, BACK, DRIFT, ClockOffset, misfit

delays = st.floats(0.00001, 0.5)


@settings(deadline=None, database=None)
@given(st.floats(-1e6, 1e6), st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=100))
def test_the_true_offset_is_within_the_bound_however_uneven_the_ways(
    offset: float, trips: list[tuple[float, float, float]]
) -> None:
    clock, now, best = ClockOffset(), 1000.0, math.inf
    for out, held, back in trips[-60:]:
        t1 = now + out + offset
        t3 = now + out + held + back
        assert clock.feed(now, t1, t1 + held, t3)
        best = min(best, (out + back) / 2 + DRIFT * 100)
        now = t3 + 0.1
    estimate = clock.estimate(now)
    assert estimate is not None
    found, bound = estimate
    assert abs(found - offset) <= bound + 1e-8
    assert bound <= best + 1e-8, "the best round trip alone gives no better bound"


def test_a_slow_drift_is_followed() -> None:
    clock, rate = ClockOffset(), 80e-6
    for second in range(0, 3600, 3):
        drift = rate * second
        clock.feed(second, second + 0.001 + drift, second + 0.001 + drift, second + 0.002)
    estimate = clock.estimate(3600.0)
    assert estimate is not None
    offset, bound = estimate
    assert abs(offset - rate * 3600) <= bound <= 0.003


def test_the_bound_grows_while_no_answer_comes() -> None:
    clock = ClockOffset()
    clock.feed(0, 10, 10, 0.002)
    bounds = [estimate[1] for now in (1, 100, 1000) if (estimate := clock.estimate(now))]
    assert len(bounds) == 3
    assert bounds == sorted(bounds) and bounds[2] >= 1000 * DRIFT


def test_a_stepped_clock_is_believed_at_once() -> None:
    clock = ClockOffset()
    for second in range(10):
        clock.feed(second, second + 5.001, second + 5.001, second + 0.002)
    clock.feed(10, 3610.001, 3610.001, 10.002)
    estimate = clock.estimate(10.1)
    assert estimate is not None
    assert estimate[0] == pytest.approx(3600, abs=0.002)
    clock.feed(11, 3611.001, 3611.001, 11.002)
    estimate = clock.estimate(11.1)
    assert estimate is not None and estimate[0] == pytest.approx(3600, abs=0.002)


@pytest.mark.parametrize("trip", [(1, 5, 5, 0.5), (0, 5, 4, 1), (0, 5, 7, 1)])
def test_an_impossible_round_trip_is_ignored(trip: tuple[float, float, float, float]) -> None:
    clock = ClockOffset()
    assert not clock.feed(*trip)
    assert clock.estimate(10) is None


@pytest.mark.parametrize(
    ("late", "says"),
    [
        (-1.7e12, "more than a minute ahead"),
        (-61, "more than a minute ahead"),
        (1.7e9, "more than a day back"),
        (86_401, "more than a day back"),
        (math.nan, "no number"),
    ],
)
def test_what_is_no_stamp_is_told_with_the_remedy(late: float, says: str) -> None:
    assert not -AHEAD <= late <= BACK
    assert says in misfit(late) and "Date.now() / 1000" in misfit(late)
