"""Whether a change between runs can be told from noise.

Samples of one moment belong together: what slows one slows its neighbours. So the units of one run are blocks
of time, not samples, and an error comes from how much the blocks differ (for percentiles by the interval of
Woodruff, 1952, for samples drawn in clusters). Runs of one build differ by more than their blocks say, which
no single run can show: for that a spread between runs is assumed, until three or more a side show their own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

from sioload.measure.blocks import JOINED, Block
from sioload.measure.histogram import Histogram, index, value

#: Runs of one build differ by this share (standard deviation): seen are 4 to 6 % in p50, and far more in p99,
#: for which single runs have a floor that is above it.
SPREAD: Final = 0.05
TAIL_SPREAD: Final = 0.10
#: Standard errors beyond which a change is no noise: of a hundred without one, fewer than one is called real.
_SURE: Final = 2.6
#: Runs that show more than so many times the assumed variance are judged by their own; where blocks tell
#: little of it (in the tail, or of few samples), runs that show any more.
_OWN: Final = 4.0
#: From so many runs a side on, the runs are the units.
REPEATS: Final = 3
#: What a single run can't tell from noise however well its blocks agree, as a share: up to p90, and above. A
#: change is below it if all of its interval by blocks is. Were it the figure itself that must be above, 40 %
#: in p99 would be seen in 83 of 100 cases: with a spread of 5 %, every seventh such change looks like 30 %.
FLOOR: Final = 0.15
TAIL_FLOOR: Final = 0.30
TAIL: Final = 90.0
#: With fewer samples beyond a percentile than this, or fewer blocks, a single run says nothing.
_BEYOND: Final = 10
_FEWEST: Final = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure of one run.

    Attributes:
        value: the figure: seconds, a rate per second, or a ratio.
        error: its standard error as far as this run can tell; infinite where it can't.
    """

    value: float
    error: float


def percentile(times: Histogram, blocks: Collection[Block], percent: float) -> Estimate:
    """A percentile over a run, and how sure it is by how much its blocks differ."""
    seconds = times.percentile(percent)
    share = percent / 100
    total = sum(sum(block.buckets.values()) for block in blocks)
    if len(blocks) < _FEWEST or total * min(share, 1 - share) < _BEYOND or not seconds:
        return Estimate(seconds, math.inf)
    # What each block has beyond its share of the samples up to that value.
    at = index(seconds) >> JOINED
    below = [sum(n for i, n in block.buckets.items() if i <= at) for block in blocks]
    up_to = sum(below) / total
    squares = sum(
        (n - up_to * sum(block.buckets.values())) ** 2 for n, block in zip(below, blocks, strict=True)
    )
    error = _steadied(squares, len(blocks)) / total
    low, high = times.percentiles(100 * min(1.0, max(0.0, share + side * error)) for side in (-2, 2))
    return Estimate(seconds, seconds * math.log(high / low) / 4 if low else math.inf)


def mean(times: Histogram, blocks: Collection[Block]) -> Estimate:
    """The mean time over a run; see `percentile`."""
    sums = [sum(n * value(i << JOINED) for i, n in block.buckets.items()) for block in blocks]
    counts = [sum(block.buckets.values()) for block in blocks]
    if len(blocks) < _FEWEST or not sum(counts):
        return Estimate(times.mean, math.inf)
    rough = sum(sums) / sum(counts)
    squares = sum((total - rough * n) ** 2 for total, n in zip(sums, counts, strict=True))
    return Estimate(times.mean, _steadied(squares, len(blocks)) / sum(counts))


def rate(count: int, seconds: float, counts: Sequence[int] = ()) -> Estimate:
    """A count per second.

    Args:
        count: in all.
        seconds: how long that took.
        counts: of each block; none where that isn't known.
    """
    if seconds <= 0:
        return Estimate(0.0, math.inf)
    error = math.sqrt(abs(count))  # below 0 are open emits of a ledger that doesn't balance
    if len(counts) > 1:
        usual = fmean(counts)
        error = max(error, _steadied(sum((n - usual) ** 2 for n in counts), len(counts)))
    return Estimate(count / seconds, error / seconds)


def ratio(part: int, whole: int, blocks: Collection[Block]) -> Estimate:
    """How many of a row's samples failed, as a share."""
    if not whole:
        return Estimate(0.0, math.inf)
    share = part / whole
    squares = sum((block.failures - share * block.count) ** 2 for block in blocks)
    error = max(_steadied(squares, len(blocks)) if len(blocks) > 1 else 0.0, math.sqrt(part))
    return Estimate(share, error / whole)


def _steadied(squares: float, number: int) -> float:
    return math.sqrt(number / (number - 1) * squares)


def typical(side: Sequence[Estimate]) -> float:
    """One figure for all runs of a side: their geometric mean, so that changes of each size weigh alike."""
    values = [run.value for run in side]
    return math.exp(fmean(map(math.log, values))) if min(values) > 0 else fmean(values)


def real(before: Sequence[Estimate], after: Sequence[Estimate], *, tail: bool = False) -> bool:
    """Whether the change between these runs is more than noise.

    Args:
        before, after: of each run of a side.
        tail: it is a percentile above p90.
    """
    floor = TAIL_FLOOR if tail else FLOOR
    if min(run.value for run in (*before, *after)) > 0:
        one, other = ([_logarithm(run) for run in side] for side in (before, after))
        scale, floor = 1.0, math.log1p(floor)
    else:  # 0 has no logarithm
        one, other = list(before), list(after)
        scale, floor = fmean(run.value for run in (*one, *other)), floor * fmean(run.value for run in one)
    change = abs(fmean(run.value for run in other) - fmean(run.value for run in one))
    each = 1 / len(one) + 1 / len(other)
    if min(len(one), len(other)) >= REPEATS:
        degrees = len(one) + len(other) - 2
        own = sum(variance(run.value for run in side) * (len(side) - 1) for side in (one, other)) / degrees
        errors = [run.error**2 for run in (*one, *other) if run.error < math.inf]
        assumed = ((TAIL_SPREAD if tail else SPREAD) * scale) ** 2 + (fmean(errors) if errors else 0.0)
        told = not tail and len(errors) == len(one) + len(other)
        if own > (_OWN * assumed if told else assumed):
            return change > _student(degrees) * math.sqrt(own * each)
        return change > _SURE * math.sqrt(assumed * each)
    blocks = sum(fmean(run.error**2 for run in side) / len(side) for side in (one, other))
    above = change + _SURE * math.sqrt(blocks) > floor
    return above and change > _SURE * math.sqrt((SPREAD * scale) ** 2 * each + blocks)


def _student(degrees: int) -> float:
    """As sure as `_SURE`, with a variance that so many degrees of freedom show: Student's quantile.

    By the expansion in Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z, n = _SURE, degrees
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / n + second / n**2 + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / n**3


def _logarithm(run: Estimate) -> Estimate:
    return Estimate(math.log(run.value), run.error / run.value)
