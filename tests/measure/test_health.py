from __future__ import annotations

import msgpack
import pytest

from sioload.measure.health import (
    LIMITED,
    OK,
    UNJUDGED,
    WINDOW,
    Health,
    HealthTotals,
    Window,
    Windows,
    judge,
    shown_verdict,
)  # fmt: skip

STEP = 0.02


#: What the ticks of a window have in common: seconds late, CPU seconds since the one before, own lag.
Ticks = tuple[float, float, float]
FINE, BUSY, BLOCKED = (0.0002, 0.001, 0.0001), (0.05, 0.018, 0.018), (0.021, 0.001, 0.02)


def run_window(health: Health, start: float, ticks: Ticks, p50: float | None = None) -> Window:
    """Ticks for one window."""
    now = start
    while True:
        now += STEP
        if health.tick(now, *ticks):
            window = health.close(now, p50)
            assert window is not None
            return window


def run_windows(
    cases: list[Ticks], p50: float | None = None, ramp: list[Ticks] | None = None
) -> HealthTotals:
    """What comes of windows after the ramp-up, and of those in it."""
    health = Health()
    health.begin()
    health.tick(0.0, 0.0, 0.0, 0.0)
    now = 0.0
    for ticks in ramp or ():
        run_window(health, now, ticks, p50)
        now += WINDOW
    health.ramped(now, p50)
    for ticks in cases:
        run_window(health, now, ticks, p50)
        now += WINDOW
    return health.totals


def test_an_idle_process_on_a_busy_machine_is_ok_and_the_machine_named() -> None:
    totals = run_windows([(0.027, 0.0003, 0.0003)] * 6)
    assert totals.verdict == OK
    assert totals.steady.own.percentile(99) < 0.001
    assert totals.steady.machine.percentile(99) == pytest.approx(0.0267, rel=0.01)
    (reason,) = judge([("local", totals)])["reasons"]
    assert reason.startswith("machine contended")


def test_a_process_whose_loop_is_held_up_is_limited_and_the_remedy_fits_the_cause() -> None:
    for ticks, remedy in (
        ((0.05, 0.018, 0.017), "more workers (--processes)"),
        (BLOCKED, "More workers wouldn't help: something holds the event loop up"),
        ((0.06, 0.001, 0.02), "Others use this machine's cores: run where they are free"),
    ):
        totals = run_windows([ticks] * 6)
        assert totals.verdict == LIMITED
        (reason,) = [reason for reason in judge([("local", totals)])["reasons"] if "limited" in reason]
        assert "6 of 6 windows limited" in reason and remedy in reason
        assert (
            f"own lag p99 up to {ticks[2] * 1000:.0f}." in reason
            or "16.9 ms" in reason
            or "19.9 ms" in reason
        )


def test_a_process_that_uses_a_whole_core_is_limited() -> None:
    totals = run_windows([(0.0001, 0.95 * STEP, 0.0001)] * 6)
    assert totals.verdict == LIMITED
    assert totals.steady.cpu_peak == pytest.approx(0.95, rel=0.02)
    assert run_windows([(0.0001, 0.85 * STEP, 0.0001)] * 6).verdict == OK


def test_lag_is_judged_by_the_times_that_it_spoils() -> None:
    ticks = (0.015, 0.015, 0.015)
    assert run_windows([ticks] * 4, p50=None).steady.limited == 4
    assert run_windows([ticks] * 4, p50=0.020).steady.limited == 4
    assert run_windows([ticks] * 4, p50=0.500).steady.limited == 0


@pytest.mark.parametrize(("limited", "verdict"), [(0, OK), (2, OK), (3, LIMITED)])
def test_more_than_a_fifth_of_the_windows_makes_the_verdict(limited: int, verdict: str) -> None:
    totals = run_windows([BUSY] * limited + [FINE] * (10 - limited))
    assert (totals.windows, totals.steady.limited, totals.verdict) == (10, limited, verdict)


@pytest.mark.parametrize(
    ("ramp", "after", "verdict", "told"),
    [
        ([BUSY] * 3, [FINE] * 3, OK, "during the ramp-up, which isn't judged, 3 of 3 windows"),
        ([BUSY] * 3, [FINE] * 2, LIMITED, "3 of 5 windows"),
        ([BUSY] * 3, [], LIMITED, "3 of 3 windows"),
        ([FINE] * 9, [BUSY] * 2, LIMITED, "after the ramp-up, 2 of 2 windows"),
        ([FINE] * 9, [FINE] * 2, OK, ""),
    ],
)
def test_the_ramp_up_is_judged_apart_and_counts_when_it_is_more_than_half(
    ramp: list[Ticks], after: list[Ticks], verdict: str, told: str
) -> None:
    totals = run_windows(after, ramp=ramp)
    assert (totals.ramp.count, totals.steady.count, totals.verdict) == (len(ramp), len(after), verdict)
    reasons = judge([("local", totals)])["reasons"]
    assert any(reason.startswith(told) for reason in reasons) if told else not reasons
    helps = any("more workers" in reason for reason in reasons)
    assert helps == (verdict == LIMITED), "a remedy stands where there is something to mend"


def test_each_ramp_of_phases_is_told_apart_from_what_is_level() -> None:
    health = Health()
    health.begin()
    health.tick(0.0, *FINE)
    for number in range(8):
        now = 5.1 * number
        change = health.ramp if number in (0, 3, 6) else health.ramped
        change(now, None)
        change(now + 0.001, None)  # repeatable
        run_window(health, now, BUSY if number in (0, 3, 6) else FINE)
    assert (health.totals.ramp.count, health.totals.steady.count) == (3, 5)
    assert health.totals.verdict == OK, "the ramps were busy, and are less than half"


def test_nothing_counts_without_load() -> None:
    health = Health()
    assert not health.tick(100.0, 5.0, 5.0, 5.0)
    assert health.close(101.0, None) is None
    health.begin()
    assert not health.tick(200.0, 3.0, 3.0, 3.0), "a window begins with its first tick"
    health.ramped(201.0, None)
    assert not health.tick(204.0, 0.0, 0.0, 0.0)
    health.ramped(205.0, None)
    assert health.tick(206.0, 0.0, 0.0, 0.0), "the ramp-up ends once"
    health.close(206.0, None)
    assert (health.totals.ramp.count, health.totals.steady.count) == (0, 1)
    assert health.end(210.0, None) is not None
    assert not health.tick(300.0, 1.0, 1.0, 1.0), "after the end nothing counts"


def test_what_was_forgotten_is_measured_anew() -> None:
    health = Health()
    health.begin()
    health.tick(0.0, 0.0, 0.0, 0.0)
    health.ramped(0.0, None)
    run_window(health, 0.0, BUSY)
    health.reset()
    assert health.totals.verdict == UNJUDGED
    health.tick(WINDOW, 0.0, 0.0, 0.0)
    run_window(health, WINDOW, FINE)
    assert (health.totals.ramp.count, health.totals.steady.count) == (0, 1)
    assert health.totals.verdict == OK


@pytest.mark.parametrize(("seconds", "windows"), [(2.0, 0), (3.0, 1)])
def test_a_last_window_counts_from_half_its_length(seconds: float, windows: int) -> None:
    for ramped in (False, True):
        health = Health()
        health.begin()
        health.tick(0.0, 0.0, 0.0, 0.0)
        health.tick(seconds, 0.0, 0.0, 0.0)
        window = health.ramped(seconds, None) if ramped else health.end(seconds, None)
        assert (window is not None) is bool(windows)
        assert health.totals.ramp.count == windows


def test_what_is_left_is_kept_at_its_lowest() -> None:
    health = Health()
    health.left(None, None)
    health.left(100, 5000)
    health.left(40, 6000)
    health.left(None, 7000)
    assert (health.totals.descriptors_left, health.totals.ports_left) == (40, 5000)


def test_one_limited_process_makes_the_swarm_limited_and_is_named() -> None:
    good, bad = run_windows([FINE] * 5), run_windows([BUSY] * 5)
    verdict = judge([("w1", good), ("w2", bad)])
    assert verdict["verdict"] == LIMITED
    assert verdict["reasons"][0].startswith("w2: 5 of 5 windows limited")
    assert [process["verdict"] for process in verdict["processes"]] == [OK, LIMITED]
    assert verdict["own_lag_p99_ms"] == pytest.approx(18, rel=0.02)
    assert verdict["cpu_peak"] == pytest.approx(0.9, rel=0.02)


def test_a_run_too_short_to_judge_is_not_judged() -> None:
    for processes in ([("local", HealthTotals())], [("w1", HealthTotals()), ("w2", HealthTotals())], []):
        verdict = judge(processes)
        assert verdict["verdict"] == UNJUDGED
        (reason,) = verdict["reasons"]
        assert reason.endswith("too short to judge the generator: that takes 2.5 s of ramp-up, or after it")
    late = judge([("w1", run_windows([FINE])), ("w2", HealthTotals())])
    assert late["verdict"] == OK
    (reason,) = late["reasons"]
    assert reason.startswith("w2: the run was too short")


def test_while_the_run_goes_on_a_verdict_takes_three_windows() -> None:
    for count, shown in ((0, UNJUDGED), (1, UNJUDGED), (2, UNJUDGED), (3, LIMITED)):
        verdict = judge([("local", run_windows([BUSY] * count))])
        for judged in (verdict, verdict["processes"][0]):
            assert shown_verdict(judged, final=False).startswith(shown)
            assert shown_verdict(judged, final=True) == (LIMITED if count else UNJUDGED)


def test_totals_survive_msgpack() -> None:
    totals = run_windows([BUSY] * 3, ramp=[BLOCKED])
    totals.descriptors_left, totals.estimated = 12, True
    assert HealthTotals.decode(msgpack.unpackb(msgpack.packb(totals.encode()))) == totals


def test_parts_of_a_search_are_judged_on_their_own() -> None:
    health = Health()
    health.begin()
    now = 100.0
    health.tick(now, 0.0, 0.0, 0.0)
    health.ramped(now, None)
    health.totals.part = Windows()
    run_window(health, now, FINE)
    assert health.divide(now + 8.0, None) is not None  # a last window of at least half the length
    assert health.totals.part is not None and health.totals.part.count == 2
    health.totals.part = Windows()
    assert health.divide(now + 9.0, None) is None
    assert HealthTotals.decode(health.totals.encode()).part == Windows()
    assert health.totals.steady.count == 2
