from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sioload.measure.histogram import TICKS, Histogram
from sioload.report.buckets import BOUNDS, cumulative, exponential

LES = [float(label) for _, label in BOUNDS]


def test_bounds_are_fine_where_servers_answer() -> None:
    assert all(low < high for low, high in pairwise(LES))
    for ms in range(1, 51):
        assert sum(ms / 1000 <= le < 2 * ms / 1000 for le in LES) >= 4, ms
    assert LES[0] < 0.0001 and LES[-1] > 60
    assert len(LES) < 60, "a row makes as many series"


@given(st.lists(st.integers(0, 200 * TICKS), max_size=60))
def test_counts_are_exact(ticks: list[int]) -> None:
    times = Histogram()
    for tick in ticks:
        times.add((tick + 0.5) / TICKS)
    found = cumulative(times)
    assert found[-1] == ("+Inf", len(ticks))
    for label, count in found[:-1]:
        assert count == sum(tick < round(float(label) * TICKS) for tick in ticks), label


def test_a_quantile_estimated_from_them_is_near_the_true_one() -> None:
    rng = random.Random(3)
    times, samples = Histogram(), [rng.lognormvariate(-5, 0.8) for _ in range(20_000)]
    for sample in samples:
        times.add(sample)
    found = cumulative(times)
    for quantile in (0.5, 0.95, 0.99):
        rank = quantile * len(samples)
        (low, below), (high, reached) = next(pair for pair in pairwise(found) if pair[1][1] >= rank)
        estimate = float(low) + (float(high) - float(low)) * (rank - below) / (reached - below)
        true = sorted(samples)[int(rank) - 1]
        assert abs(estimate - true) / true < 0.06


def test_times_beyond_ten_minutes_are_no_shorter_in_exponential_buckets() -> None:
    times = Histogram()
    times.add(7200.0, 4)
    zeros, first, counts = exponential(times, 4)
    assert (zeros, counts) == (0, [4]) and 2 ** (first / 16) < 7200.0 <= 2 ** ((first + 1) / 16)
