"""The grammar of phases and what a plan asks for over time; no clock, no users."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioload.durations import duration_text, seconds_of
from sioload.errors import PhaseError
from sioload.load.phases import Phase, Plan, parse_phases

README = "warmup: 0..200 users over 1m; peak: 500 users for 5m; 1000 users over 30s; 0 users for 10s"


def test_the_load_follows_the_plan() -> None:
    plan = parse_phases(README)
    assert [phase.name for phase in plan.phases] == ["warmup", "peak", "3", "4"]
    moments = [0, 30, 59.9, 60, 359.9, 360, 375, 389.9, 390, 400]
    assert [round(plan.load(now)) for now in moments] == [0, 100, 200, 500, 500, 500, 750, 998, 0, 0]
    assert [plan.at(now) for now in (0, 60, 399.9, 400)] == [0, 1, 3, None]
    assert not plan.per_second
    assert plan.seconds == 400


def test_sessions_begin_when_the_integral_of_the_rate_reaches_a_whole_number() -> None:
    plan = parse_phases("10..200/s over 5m; rest: 200/s for 2m; 0/s for 10s; 1/s for 3s")
    assert plan.per_second
    slots = list(plan.slots())
    counts = [sum(start <= slot < end for slot in slots) for start, end in pairwise(plan.starts)]
    assert counts == [31_500, 24_000, 0, 3]
    assert all(one < other for one, other in pairwise(slots))
    assert slots[1000] == pytest.approx(42.58, abs=0.01)  # 10 t + 19 / 60 t^2 = 1000


def test_a_list_of_texts_is_one_plan() -> None:
    assert parse_phases(["5 users for 1s", "6 users for 2s;"]) == parse_phases(
        "5 users for 1s; 6 users for 2s"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is none"),
        (" ; ;", "there is none"),
        ("5 usres for 1s", "expected users or /s, found 'usres' (nearest: 'users'): 5 -->usres for 1s"),
        ("5 users during 1s", "expected for or over"),
        ("5 users for 10", "a duration above 0 such as 30s"),
        ("5 users for 0s", "a duration above 0"),
        ("5 users for", "found nothing"),
        ("5 users for 1s 2", "'2' is too much"),
        ("x users for 1s", "expected a number"),
        ("1.5 users for 1s", "whole numbers"),
        ("5..x users for 1s", "expected a number"),
        ("-5 users for 1s", "expected a number"),
        ("1peak: 5 users for 1s", "begins with a letter"),
        ("a: 5 users for 1s; a: 6 users for 1s", "taken by an earlier phase"),
        ("5 users for 1s; 5/s for 1s", "don't mix"),
        ("5/m for 1s", "expected users or /s"),
        ("5 users for 800h", "longer than a month"),
        ("5 users for 1s; peak: 6 users fro 1s", "character 31: expected for or over, found 'fro'"),
        ("10 users for 10", "character 14: expected a duration above 0 such as 30s, 5m or 1m30s, found '10'"),
        ("10 users for 0.4us", "character 14: expected a duration above 0"),
        ("for: 5 users for for", "character 18: expected a duration"),
        ("a: 5 users for", "character 15: expected a duration"),
        ("5 users for 1s 5", "character 16: '5' is too much"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_one_line_that_points_at_the_place(text: str, said: str) -> None:
    with pytest.raises(PhaseError) as caught:
        parse_phases(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


NUMBERS = st.integers(0, 10_000)
PHASES = st.tuples(
    st.one_of(st.none(), st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)),
    NUMBERS,
    NUMBERS,
    st.integers(1, 3_600_000).map(lambda ms: ms / 1000),
    st.booleans(),
)


@given(
    st.lists(PHASES, min_size=1, max_size=6, unique_by=lambda p: p[0] or object()),
    st.booleans(),
    st.sampled_from((1, 0.1, 1 / 3, 1e-7)),
)
def test_what_is_printed_parses_to_the_same(drawn: list, per_second: bool, scale: float) -> None:
    scale = scale if per_second else 1
    phases = [
        Phase(name or str(place), begin * scale, end * scale, seconds, ramp and begin != end)
        for place, (name, begin, end, seconds, ramp) in enumerate(drawn, 1)
    ]
    plan = Plan(tuple(phases), per_second)
    assert str(parse_phases(str(plan))) == str(plan)
    assert parse_phases(str(plan)) == plan


@given(st.text(alphabet="0123456789usersfoveram:;./ \té-", max_size=60))
def test_any_text_is_a_plan_or_a_phase_error(text: str) -> None:
    try:
        plan = parse_phases(text)
    except PhaseError:
        return
    assert plan.seconds > 0


@given(st.integers(1, 10**12))
def test_durations_are_read_as_they_are_written(us: int) -> None:
    assert seconds_of(duration_text(us / 1e6)) == pytest.approx(us / 1e6, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("5us", 5e-6), ("0.4us", 4e-7),
     ("1.4us", 1.4e-6), ("30", None), ("", None), ("s", None), ("-1s", None), ("1s ", None), ("1d", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == (seconds if seconds is None else pytest.approx(seconds, abs=0.0))
