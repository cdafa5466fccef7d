"""The known case of coordinated omission: a server that stalls once, for a tenth of the run."""

from __future__ import annotations

import pytest
from truthkit import Bench, quantile

RATE = 100
LONG = pytest.param(30.0, marks=pytest.mark.verify)


def close(value: float) -> object:
    return pytest.approx(value, rel=0.05)


def waited(acked: list[float]) -> list[float]:
    """How long emits that were due at a constant rate took to be acked, by the server's clock."""
    first = min(at - number / RATE for number, at in enumerate(acked))
    return [at - (first + number / RATE) for number, at in enumerate(acked)]


@pytest.mark.parametrize("seconds", [9.0, LONG])
def test_a_stall_shows_in_every_emit_that_it_held_up(bench: Bench, seconds: float) -> None:
    server = bench.server("--stall", str(seconds / 3), "--for", str(seconds / 10))
    finish = bench.start("omission.py", server.url, "-u", "2", "-r", "2", "-t", f"{seconds + 1:g}s",
                         env={"RATE": str(RATE)})  # fmt: skip
    outcome = finish(seconds + 40)
    assert outcome.code == 0, outcome.text
    assert outcome.report["health"]["verdict"] == "ok"
    counts = server.counts()
    begun, ended = counts["stalled"]
    stall = ended - begun
    assert stall == close(seconds / 10)
    for name in ("paced", "scheduled"):
        event = outcome.event("CALL", name)
        latency, service = event["latency_ms"], event["service_ms"]
        print(name, "p50 of service", service["p50"], "ms; p95, p99", latency["p95"], latency["p99"], "ms")
        begun, *stopped = outcome.told[0]["spans"][name]
        least, most = (int((end - begun) * RATE) for end in stopped)
        assert least <= event["count"] + event["skipped"] <= most + 2, outcome.text
        # Each emit of the first 80 % of the stall waited longer than the rest of it lasts.
        affected = sum(seconds > 0.2 * stall for seconds in outcome.samples("CALL", name))
        expected = waited(counts["worked"][name])
        assert affected == close(sum(seconds > 0.2 * stall for seconds in expected)), outcome.text
        for stat, share in (("p95", 0.95), ("p99", 0.99)):
            assert latency[stat] == close(1000 * quantile(expected, share)), outcome.text
        assert latency["max"] == close(1000 * max(expected)), outcome.text
        late = [at for at, seconds in zip(counts["worked"][name], expected, strict=True)
                if at > ended and seconds > 0.2 * stall]  # fmt: skip
        # What is due while the server catches up waits as well, and the stall begins between two emits.
        apart = late[-1] - ended + 1 / RATE
        assert affected == pytest.approx(0.8 * stall * RATE, rel=0.05, abs=apart * RATE), outcome.text
        run = event["count"] / RATE  # a little longer than the case: its last 5 % and 1 % are a few more
        for stat, share in (("p95", 0.05), ("p99", 0.01)):
            ideal = 1000 * (stall - share * run)
            assert latency[stat] == pytest.approx(ideal, rel=0.05, abs=1000 * apart), outcome.text
        if name == "scheduled":
            assert service["p99"] == close(latency["p99"]), outcome.text
        else:  # what a tool would have reported that waits for each answer before it goes on
            assert service["p99"] < 0.1 * latency["p99"], outcome.text
