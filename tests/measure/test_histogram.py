from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.measure.histogram import (
    LAST,
    PERCENTILES,
    TICKS,
    TOP,
    Histogram,
    bucket,
    index,
    tick_bounds,
    value,
)

times = st.floats(min_value=0, max_value=700, allow_nan=False)


def histogram_of(samples: list[float]) -> Histogram:
    histogram = Histogram()
    for sample in samples:
        histogram.add(sample)
    return histogram


def test_buckets_are_contiguous_and_each_tick_lies_in_its_own() -> None:
    behind = 0
    for i in range(LAST + 1):
        low, high = tick_bounds(i)
        assert low == behind, "a bucket begins where the one before it ends"
        assert bucket(low) == i
        assert bucket(high - 1) == i
        behind = high
    assert tick_bounds(LAST)[0] == TOP > 600 * TICKS


@settings(deadline=None, database=None)
@given(st.integers(0, TOP), st.integers(0, TOP))
def test_buckets_are_monotone(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert bucket(low) <= bucket(high)


@settings(deadline=None, database=None)
@given(st.floats(min_value=10e-6, max_value=600))
def test_relative_error_is_within_one_percent_from_10_us_to_10_minutes(seconds: float) -> None:
    assert abs(value(index(seconds)) - seconds) <= 0.01 * seconds
    low, high = tick_bounds(index(seconds))
    assert low / TICKS <= seconds + 1e-7
    assert seconds < high / TICKS


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0), (-1.0, 0), (600.0, LAST - 1), (600.7, LAST), (1e9, LAST)]
)
def test_times_out_of_range_share_the_outermost_buckets(seconds: float, expected: int) -> None:
    assert index(seconds) == expected


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_time_that_is_not_finite_is_refused(seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        Histogram().add(seconds)


def test_min_max_and_mean_are_exact_beyond_the_last_bucket() -> None:
    histogram = histogram_of([0.0001234, 700.5])
    assert histogram.min == pytest.approx(0.0001234, abs=1e-7)
    assert histogram.max == 700.5
    assert histogram.mean == pytest.approx((0.0001234 + 700.5) / 2, abs=1e-7)
    assert histogram.percentile(99) == 700.5


def test_empty_histogram_is_all_zero() -> None:
    empty = Histogram()
    assert (empty.min, empty.max, empty.mean, empty.total) == (0, 0, 0, 0)
    assert empty.percentiles() == [0.0] * len(PERCENTILES)


@settings(deadline=None, database=None)
@given(st.lists(times, min_size=1, max_size=300))
def test_percentiles_are_those_of_the_sorted_samples(samples: list[float]) -> None:
    histogram = histogram_of(samples)
    ordered = sorted(samples)
    for percent, found in zip(PERCENTILES, histogram.percentiles(), strict=True):
        true = ordered[max(1, math.ceil(round(percent * 10) * len(ordered) / 1000)) - 1]
        if index(true) < LAST:
            assert abs(found - true) <= 0.01 * true + 1e-7
        else:
            assert found == histogram.max


def test_a_percentile_of_a_thousand_samples_takes_the_right_rank() -> None:
    histogram = histogram_of([n / 1000 for n in range(1, 1001)])
    assert histogram.percentile(99.9) == pytest.approx(0.999, rel=0.005)
    assert histogram.percentiles([99.9, 50, 100]) == [histogram.percentile(p) for p in (99.9, 50, 100)]


@settings(deadline=None, database=None)
@given(st.lists(st.lists(times, max_size=40), max_size=6), st.randoms())
def test_merged_histograms_equal_one_of_all_samples(parts: list[list[float]], random: object) -> None:
    histograms = [histogram_of(part) for part in parts]
    random.shuffle(histograms)  # type: ignore[attr-defined]
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    whole = histogram_of([sample for part in parts for sample in part])
    assert merged == whole
    assert merged.percentiles() == whole.percentiles()


@settings(deadline=None, database=None)
@given(st.lists(times, max_size=60))
def test_encoding_survives_msgpack(samples: list[float]) -> None:
    histogram = histogram_of(samples)
    assert Histogram.decode(msgpack.unpackb(msgpack.packb(histogram.encode()))) == histogram


@settings(deadline=None, database=None)
@given(st.lists(st.lists(times, max_size=20), max_size=5), st.sampled_from([1, 1 << 31]), st.booleans())
def test_a_later_state_takes_the_place_of_an_earlier_one(
    parts: list[list[float]], n: int, in_order: bool
) -> None:
    """Also where a count needs more room than before, and where buckets come in another order."""
    others = histogram_of([0.5, 2.0])
    merged, whole, before = others.copy(), Histogram(), None
    for part in parts:
        for seconds in part:
            whole.add(seconds, n)
        state = whole.copy()
        if in_order:
            state.counts = dict(sorted(state.counts.items()))
        data = state.encode()
        merged.merge_encoded(data, before)
        before = data
        expected = others.copy()
        expected.merge(whole)
        assert merged == expected


@pytest.mark.parametrize("cut", [{"buckets": 1}, {"buckets": 2}, {"counts": 1}, {"counts": 4}])
def test_a_state_that_is_not_whole_is_refused(cut: dict[str, int]) -> None:
    """Of another version, say: it must not be counted as something else."""
    before = histogram_of([0.5, 2.0])
    after = histogram_of([0.5, 2.0, 3.0, 4.0]).encode()
    data = after | {name: after[name][:-n] for name, n in cut.items()}
    with pytest.raises(ValueError):
        histogram_of([1.0]).merge_encoded(data, before.encode())


@settings(deadline=None, database=None)
@given(st.lists(times, max_size=40), st.lists(times, max_size=40))
def test_since_gives_the_samples_that_came_later(before: list[float], after: list[float]) -> None:
    earlier = histogram_of(before)
    whole = earlier.copy()
    whole.merge(histogram_of(after))
    fresh = whole.since(earlier)
    assert fresh.counts == histogram_of(after).counts
    assert fresh.sum_ticks == histogram_of(after).sum_ticks


def test_samples_that_came_later_may_be_beyond_the_last_bucket() -> None:
    whole = histogram_of([1.0])
    earlier = whole.copy()
    whole.merge(histogram_of([7200.0, 7200.0]))
    fresh = whole.since(earlier)
    assert fresh.mean == fresh.max == fresh.percentile(50) == 7200.0
    assert fresh.min == tick_bounds(LAST)[0] / TICKS


def test_wild_times_keep_the_sum_within_64_bits() -> None:
    histogram = Histogram()
    histogram.add(1.7e9, n=1_000_000)
    assert msgpack.unpackb(msgpack.packb(histogram.encode()))["sum"] < 2**63
    assert histogram.max > 3600
