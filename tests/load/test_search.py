"""The search for what a server holds, against servers that are only arithmetic."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from sioload.load.search import Answer, Level, Search, Step

#: A server: a load, and noise, give the p99 in ms and the throughput.
Server = Callable[[int, random.Random], tuple[float, float]]
ASKED_MS = 100.0


def knee(limit: int) -> Server:
    """Its p99 crosses what is asked at this load, steeply."""
    return lambda load, chance: (100 * (load / limit) ** 6 * math.exp(chance.gauss(0, 0.05)), float(load))


def cliff(limit: int) -> Server:
    """It is quick up to this load, and useless above."""
    return lambda load, chance: (5.0 if load <= limit else 5_000.0, float(min(load, limit)))


def plateau(limit: int) -> Server:
    """It never gets slow, but does no more than this."""
    return lambda load, chance: (5.0, min(load, limit) * math.exp(chance.gauss(0, 0.005)))


def run(server: Server, search: Search, seed: int) -> tuple[Answer, list[Level]]:
    chance, levels = random.Random(seed), list[Level]()
    while isinstance(step := search.following(levels), Step):
        p99, throughput = server(step.load, chance)
        narrow = ASKED_MS <= p99 < 1.1 * ASKED_MS
        levels.append(Level(step.load, p99 < ASKED_MS, throughput, narrow, long=step.long))
        assert len(levels) <= most(search)
    return step, levels


def most(search: Search) -> float:
    """How many levels a search may take."""
    return 2 * math.log2(search.last / search.first) + math.log2(1 / search.within) + 4


@pytest.mark.parametrize("server", [knee, cliff])
@pytest.mark.parametrize("limit", [137, 1_000, 9_973])
@pytest.mark.parametrize("within", [0.05, 0.01])
def test_the_answer_is_within_the_tolerance_and_confirmed(
    server: Callable[[int], Server], limit: int, within: float
) -> None:
    search = Search(10, 20_000, within)
    right = 0
    for seed in range(100):
        answer, levels = run(server(limit), search, seed)
        assert answer.reason == "limit"
        assert answer.confirmed and answer.holds is not None and answer.breaks is not None
        assert any(level.long and level.held and level.load == answer.holds for level in levels)
        # What noise of 5 % in the p99 makes of the limit's place comes on top.
        slack = within + (0.02 if server is knee else 1 / limit)
        right += abs(answer.holds - limit) <= slack * limit
    assert right >= 99


def test_a_server_that_does_no_more_with_more_users_is_on_a_plateau() -> None:
    for seed in range(100):
        answer, levels = run(plateau(400), Search(10, 100_000), seed)
        assert answer == Answer(1_280 if answer.holds == 1_280 else 2_560, None, "plateau", True)
        assert levels[-1].long


def test_a_server_that_holds_all_that_is_asked_is_confirmed_at_the_cap() -> None:
    answer, levels = run(cliff(1_000), Search(10, 700), 0)
    assert answer == Answer(700, None, "cap", True)
    assert [level.load for level in levels] == [10, 20, 40, 80, 160, 320, 640, 700, 700]


def test_a_server_that_fails_at_once_gives_no_number() -> None:
    assert run(cliff(9), Search(10, 700), 0)[0] == Answer(None, 10, "first level", False)


def test_the_limit_may_lie_between_two_neighbours() -> None:
    levels = [Level(1, True, 1), Level(2, False, 2)]
    assert Search(1, 700).following(levels) == Step(1, long=True)
    assert Search(1, 700).following([*levels, Level(1, True, 1, long=True)]) == Answer(1, 2, "limit", True)
    wide = [Level(40, True, 1), Level(43, False, 1)]
    assert Search(40, 700).following(wide) == Step(41) and Search(40, 700, 0.1).following(wide).long


def test_a_plateau_is_less_than_a_twentieth_more_over_two_doublings() -> None:
    levels = [Level(10, True, 100), Level(20, True, 100)]
    assert Search(10, 700).following(levels) == Step(40)
    assert Search(10, 700).following([*levels, Level(40, True, 104)]) == Step(40, long=True)
    assert Search(10, 700).following([*levels, Level(40, True, 106)]) == Step(80)


def test_a_generator_at_its_limit_ends_the_search_with_what_held_before() -> None:
    levels = [Level(10, True, 10), Level(20, True, 20), Level(40, True, 22, limited=True)]
    assert Search(10, 700).following(levels) == Answer(20, None, "generator", False)


def test_a_narrow_miss_is_measured_once_more_and_the_second_time_counts() -> None:
    levels = [Level(10, True, 10), Level(20, False, 20, narrow=True)]
    assert Search(10, 700).following(levels) == Step(20)
    assert Search(10, 700).following([*levels, Level(20, True, 20)]) == Step(40)
    assert Search(10, 700).following([*levels, Level(20, False, 20, narrow=True)]) == Step(15)


def test_when_confirming_fails_the_next_lower_one_is_confirmed_and_the_gap_is_narrowed_again() -> None:
    search, levels = Search(100, 200, 0.2), [Level(100, True, 1), Level(200, False, 1), Level(150, True, 1)]
    levels += [Level(175, True, 1), Level(175, False, 1, long=True)]
    assert search.following(levels) == Step(150, long=True)
    held = [*levels, Level(150, True, 1, long=True)]
    assert search.following(held) == Answer(150, 175, "limit", True)
    lost = [*levels, Level(150, False, 1, long=True)]
    assert search.following(lost) == Step(100, long=True)
    assert search.following([*lost, Level(100, False, 1, long=True)]) == Answer(None, 100, "limit", False)
    wide = [*lost, Level(100, True, 1, long=True)]
    assert search.following(wide) == Step(125)
    assert search.following([*wide, Level(125, True, 1)]) == Step(125, long=True)
