from __future__ import annotations

import msgpack
import pytest

from sioload.measure.health import LIMITED, OK, WINDOW, Health, HealthTotals, Window, judge

STEP = 0.02


def run_window(health: Health, start: float, late: float, cpu: float, p50: float | None = None) -> Window:
    """Ticks for one window, each `late` seconds late with `cpu` seconds used since the one before."""
    now = start
    while True:
        now += STEP
        if health.tick(now, late, cpu):
            window = health.close(now, p50)
            assert window is not None
            return window


def run_windows(cases: list[tuple[float, float]], p50: float | None = None) -> HealthTotals:
    health = Health()
    health.begin(0.0)
    for number, (late, cpu) in enumerate(cases):
        run_window(health, number * WINDOW, late, cpu, p50)
    return health.totals


def test_an_idle_process_on_a_busy_machine_is_ok_and_the_machine_named() -> None:
    totals = run_windows([(0.027, 0.0003)] * 6)
    assert totals.verdict == OK
    assert totals.own.percentile(99) < 0.001
    assert totals.machine.percentile(99) == pytest.approx(0.0267, rel=0.01)
    assert len(totals.reasons) == 1 and totals.reasons[0].startswith("machine contended")


def test_a_process_that_computes_is_limited_by_its_own_lag() -> None:
    totals = run_windows([(0.050, 0.017)] * 6)
    assert totals.verdict == LIMITED
    assert "6 of 6 windows limited" in totals.reasons[0]
    assert "17.0 ms" in totals.reasons[0] or "16.9 ms" in totals.reasons[0] or "17.1 ms" in totals.reasons[0]


def test_a_process_that_uses_a_whole_core_is_limited() -> None:
    totals = run_windows([(0.0001, 0.95 * STEP)] * 6)
    assert totals.verdict == LIMITED
    assert totals.cpu_peak == pytest.approx(0.95, rel=0.02)
    assert run_windows([(0.0001, 0.85 * STEP)] * 6).verdict == OK


def test_lag_is_judged_by_the_times_that_it_spoils() -> None:
    assert run_windows([(0.015, 0.015)] * 4, p50=None).limited == 4
    assert run_windows([(0.015, 0.015)] * 4, p50=0.020).limited == 4
    assert run_windows([(0.015, 0.015)] * 4, p50=0.500).limited == 0


@pytest.mark.parametrize(("limited", "verdict"), [(0, OK), (2, OK), (3, LIMITED)])
def test_more_than_a_fifth_of_the_windows_makes_the_verdict(limited: int, verdict: str) -> None:
    cases = [(0.05, 0.018)] * limited + [(0.0002, 0.001)] * (10 - limited)
    totals = run_windows(cases)
    assert (totals.windows, totals.limited, totals.verdict) == (10, limited, verdict)


def test_nothing_counts_before_the_ramp_up_is_over() -> None:
    health = Health()
    assert not health.tick(100.0, 5.0, 5.0)
    assert health.close(101.0, None) is None
    health.begin(200.0)
    assert not health.tick(200.1, 0.0, 0.0)
    health.begin(204.0)
    assert health.tick(205.0, 0.0, 0.0), "beginning again doesn't move a window that runs"
    health.close(205.0, None)
    assert health.totals.windows == 1


@pytest.mark.parametrize(("seconds", "windows"), [(2.0, 0), (3.0, 1)])
def test_a_last_window_counts_from_half_its_length(seconds: float, windows: int) -> None:
    health = Health()
    health.begin(0.0)
    health.tick(seconds, 0.0, 0.0)
    assert (health.end(seconds, None) is not None) is bool(windows)
    assert health.totals.windows == windows
    assert not health.tick(seconds + 10, 1.0, 1.0), "after the end nothing counts"


def test_what_is_left_is_kept_at_its_lowest() -> None:
    health = Health()
    health.left(None, None)
    health.left(100, 5000)
    health.left(40, 6000)
    health.left(None, 7000)
    assert (health.totals.descriptors_left, health.totals.ports_left) == (40, 5000)


def test_one_limited_process_makes_the_swarm_limited_and_is_named() -> None:
    good, bad = run_windows([(0.0001, 0.001)] * 5), run_windows([(0.05, 0.018)] * 5)
    verdict = judge([("w1", good), ("w2", bad)])
    assert verdict["verdict"] == LIMITED
    assert verdict["reasons"][0].startswith("w2: 5 of 5 windows limited")
    assert [process["verdict"] for process in verdict["processes"]] == [OK, LIMITED]
    assert verdict["own_lag_p99_ms"] == pytest.approx(18, rel=0.02)
    assert verdict["cpu_peak"] == pytest.approx(0.9, rel=0.02)


def test_a_run_too_short_to_judge_says_so() -> None:
    verdict = judge([("local", HealthTotals())])
    assert verdict["verdict"] == OK
    assert "too short" in verdict["reasons"][0]
    assert judge([])["verdict"] == OK


def test_totals_survive_msgpack() -> None:
    totals = run_windows([(0.05, 0.018)] * 3)
    totals.descriptors_left = 12
    assert HealthTotals.decode(msgpack.unpackb(msgpack.packb(totals.encode()))) == totals
