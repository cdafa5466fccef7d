"""The known case of coordinated omission: a server that stalls once, for a tenth of the run."""

from __future__ import annotations

import pytest
from truthkit import Bench, quantile

RATE = 100
LONG = pytest.param(30.0, marks=pytest.mark.verify)
#: Milliseconds. Above, catching up takes a user that waits for each answer long enough to be seen.
QUICK_ANSWER = 0.3


def close(value: float) -> object:
    return pytest.approx(value, rel=0.05)


def waited(services: list[float]) -> list[float]:
    """How long emits take from their slots, when each waits for the answer to the one before."""
    times, free = [], 0.0
    for number, service in enumerate(services):
        free = max(free, number / RATE) + service
        times.append(free - number / RATE)
    return times


@pytest.mark.parametrize("seconds", [9.0, LONG])
def test_a_stall_shows_in_every_emit_that_it_held_up(bench: Bench, seconds: float) -> None:
    server = bench.server("--stall", str(seconds / 3), "--for", str(seconds / 10))
    finish = bench.start("omission.py", server.url, "-u", "2", "-r", "2", "-t", f"{seconds + 1:g}s",
                         env={"RATE": str(RATE)})  # fmt: skip
    outcome = finish(seconds + 40)
    assert outcome.code == 0, outcome.text
    assert outcome.report["health"]["verdict"] == "ok"
    stall = server.counts()["stalled"]
    assert stall == close(seconds / 10)
    for name in ("paced", "scheduled"):
        event = outcome.event("CALL", name)
        latency, service = event["latency_ms"], event["service_ms"]
        print(name, "p50 of service", service["p50"], "ms; p95, p99", latency["p95"], latency["p99"], "ms")
        begun, stopped = outcome.told[0]["spans"][name]
        plan = int((stopped - begun) * RATE) + 1
        assert event["count"] + event["skipped"] == pytest.approx(plan, abs=1), outcome.text
        if name == "scheduled" or service["p50"] < QUICK_ANSWER:
            # Each emit of the first 80 % of the stall waited longer than the rest of it lasts.
            affected = sum(seconds > 0.2 * stall for seconds in outcome.samples("CALL", name))
            assert affected == close(0.8 * stall * RATE), outcome.text
            # The run is a little longer than the case: its last 5 % and 1 % of emits are a few more.
            run = event["count"] / RATE
            assert latency["p95"] == close(1000 * (stall - 0.05 * run)), outcome.text
            assert latency["p99"] == close(1000 * (stall - 0.01 * run)), outcome.text
        assert latency["max"] == close(1000 * stall), outcome.text
        if name == "scheduled":
            assert service["p99"] == close(latency["p99"]), outcome.text
            continue
        # What a tool would have reported that waits for each answer before it goes on.
        assert service["p99"] < 0.1 * latency["p99"], outcome.text
        expected = waited(outcome.told[0]["services"])
        for stat, share in (("p95", 0.95), ("p99", 0.99)):
            assert latency[stat] == close(1000 * quantile(expected, share)), outcome.text
