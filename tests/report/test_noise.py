"""Changes and noise, by simulation: runs whose times are known to be of one build, or of a slower one."""

from __future__ import annotations

import itertools
import math
import random
from functools import cache

import pytest

from sioload.measure.blocks import JOINED, Block
from sioload.measure.histogram import Histogram, bucket
from sioload.report import noise
from sioload.report.noise import Estimate

BLOCKS, SAMPLES = 30, 20_000
PERCENTS = (50.0, 90.0, 95.0, 99.0)


@cache
def pool() -> list[tuple[float, int]]:
    """Times in ticks, log-normal around 20 ms, and how many samples have each, rounded to 1 %."""
    chance = random.Random(1)
    found: dict[int, int] = {}
    for _ in range(4000):
        ticks = round(math.log(chance.lognormvariate(math.log(200_000), 0.5)) * 100)
        found[ticks] = found.get(ticks, 0) + 1
    return [(math.exp(ticks / 100), n) for ticks, n in found.items()]


def simulated(chance: random.Random) -> dict[float, Estimate]:
    """A run: 5 % spread between runs, bursts that multiply a block by exp |N(0, 0.1)|, drift of 15 %."""
    of_run = math.exp(chance.gauss(0, 0.05))
    whole, blocks = Histogram(), []
    for number in range(BLOCKS):
        factor = of_run * math.exp(abs(chance.gauss(0, 0.1))) * (1 + 0.15 * number / BLOCKS)
        block, counts = Block(SAMPLES // BLOCKS), {}
        for ticks, n in pool():
            # As many as fall on it by chance: the normal law stands for Poisson's where they are many.
            mean = n * SAMPLES / BLOCKS / 4000
            got = round(chance.gauss(mean, math.sqrt(mean))) if mean > 8 else _poisson(chance, mean)
            if got > 0:
                i = bucket(int(ticks * factor))
                counts[i] = counts.get(i, 0) + got
                block.buckets[i >> JOINED] = block.buckets.get(i >> JOINED, 0) + got
        whole.add_counts(counts, sum(counts.values()), 0, 1, 1 << 36)
        blocks.append(block)
    return {percent: noise.percentile(whole, blocks, percent) for percent in PERCENTS}


def _poisson(chance: random.Random, mean: float) -> int:
    limit, n, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        n, product = n + 1, product * chance.random()
    return n


def flagged(runs: list[dict[float, Estimate]], percent: float, repeats: int, factor: float) -> float:
    """How often a change by a factor is called real, over many choices among the runs."""
    chance, found = random.Random(2), []
    for _ in range(3000):
        chosen = [run[percent] for run in chance.sample(runs, 2 * repeats)]
        after = [Estimate(each.value * factor, each.error * factor) for each in chosen[repeats:]]
        found.append(noise.real(chosen[:repeats], after, tail=percent > noise.TAIL))
    return sum(found) / len(found)


def judge(number: int, alarms: float, power: float) -> None:
    chance = random.Random(7)
    runs = [simulated(chance) for _ in range(number)]
    factors = (1.0, 1.2, 1.4)
    shown = {(p, n, f): flagged(runs, p, n, f) for p in PERCENTS for n in (1, 3) for f in factors}
    print(shown)
    for percent, repeats in itertools.product(PERCENTS, (1, 3)):
        assert shown[percent, repeats, 1.0] <= alarms
        assert shown[percent, repeats, 1.4] >= power
    assert shown[50.0, 3, 1.2] >= power


def test_noise_is_seldom_taken_for_a_change_nor_a_change_for_noise() -> None:
    judge(40, alarms=0.03, power=0.85)


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_one_in_a_hundred_is_a_false_alarm_and_five_are_missed() -> None:
    judge(600, alarms=0.012, power=0.94)


def test_what_a_single_run_cannot_tell_is_no_change() -> None:
    sure, unsure = Estimate(0.1, 0.001), Estimate(0.2, math.inf)
    assert noise.real([sure], [Estimate(0.2, 0.001)])
    assert not noise.real([sure], [unsure])
    assert noise.real([sure] * 3, [unsure] * 3), "runs are the units"
    assert not noise.real([sure], [Estimate(0.114, 0.0001)]), "below the floor"
    assert not noise.real([Estimate(0.1, 0.0001)], [Estimate(0.128, 0.0001)], tail=True), "surely below it"
    assert noise.real([Estimate(0.1, 0.003)], [Estimate(0.128, 0.003)], tail=True), "perhaps above it"
    assert not noise.real([Estimate(0.1, 0.008)], [Estimate(0.128, 0.008)], tail=True), "perhaps nothing"
    assert noise.percentile(Histogram(), [], 50).error == math.inf
    times = Histogram()
    times.add(0.1, 100)
    block = Block()
    block.add(20, 0, [(bucket(1_000_000) >> JOINED, 20)])
    assert noise.percentile(times, [block] * 5, 99).error == math.inf, "a single sample is beyond it"
    assert noise.percentile(times, [block] * 5, 50).error < 0.001


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2, 0.5])
def test_runs_that_differ_by_more_than_is_assumed_are_judged_by_what_they_show(spread: float) -> None:
    chance, alarms = random.Random(3), 0
    for _ in range(1500):
        runs = [Estimate(math.exp(chance.gauss(0, spread)), math.inf) for _ in range(6)]
        alarms += noise.real(runs[:3], runs[3:], tail=True)
    assert alarms <= 0.03 * 1500


def test_counts_are_compared_per_second_and_a_burst_is_one_event() -> None:
    none, steady = noise.rate(0, 30, [0] * 30), noise.rate(60, 30, [2] * 30)
    assert noise.real([none], [steady])
    assert not noise.real([none], [noise.rate(60, 30, [0] * 29 + [60])])
    assert not noise.real([none], [noise.rate(1, 30, [1] + [0] * 29)])
    assert not noise.real([steady], [noise.rate(120, 60, [2] * 60)]), "a longer run counts more of them"
    assert noise.real([noise.rate(6000, 30, [200] * 30)], [noise.rate(3000, 30, [100] * 30)])
    blocks = [Block(100, 10) for _ in range(20)]
    assert noise.real([noise.ratio(0, 2000, [Block(100) for _ in blocks])], [noise.ratio(200, 2000, blocks)])
    assert noise.typical([Estimate(1.0, 0), Estimate(4.0, 0)]) == pytest.approx(2.0)
