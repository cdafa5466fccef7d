"""Delays that the server injects come back: what is reported is what it measured, and the way there."""

from __future__ import annotations

import pytest
from truthkit import Bench, Outcome, quantile

#: Seconds, and how many users ask for them in a process.
DELAYS = {0.0: 2, 0.001: 2, 0.005: 2, 0.02: 2, 0.1: 4, 0.5: 10, 2.0: 20}
PAUSE = 0.05
#: Of asking; the run is 3 s longer.
SECONDS = 5
#: Other work on the machine may hit one of the two clients alone; not every time.
ATTEMPTS = 6


def tolerance(delay: float) -> float:
    """1 ms or 1 %, in microseconds."""
    return max(1000.0, delay * 1e4)


def beside(bench: Bench, workers: int) -> tuple[Outcome, dict[float, list[float]], dict[float, list[float]]]:
    """A run and a C client at the same time: by delay, the microseconds that each says beyond the server."""
    server, client = bench.server(), bench.compiled("client.c")
    users = [word for delay, n in DELAYS.items() for word in (str(delay), str(n))]
    env = {"DELAYS": " ".join(f"{delay}:{n}" for delay, n in DELAYS.items()), "PAUSE": str(PAUSE),
           "SECONDS": str(SECONDS)}  # fmt: skip
    total = str(sum(DELAYS.values()))
    finish = bench.start("delays.py", server.url, "-u", total, "-r", total, "-t", f"{SECONDS + 3}s",
                         workers=workers, env=env)  # fmt: skip
    other = bench.process([client, str(server.port), str(SECONDS + 2), str(PAUSE), *users])
    outcome = finish(60)
    assert other.wait(30) == 0, str(other)
    ours: dict[float, list[float]] = {delay: [] for delay in DELAYS}
    theirs: dict[float, list[float]] = {delay: [] for delay in DELAYS}
    for told in outcome.told:
        for delay, values in told["differences"].items():
            ours[float(delay)] += values
    for delay, value in (line.split() for line in other.out.splitlines()):
        theirs[float(delay)].append(float(value))
    return outcome, ours, theirs


def faults(ours: dict[float, list[float]], theirs: dict[float, list[float]]) -> list[str]:
    found = []
    for delay in DELAYS:
        middle = quantile(ours[delay], 0.5)
        if not -10 <= middle <= tolerance(delay):
            found.append(f"{delay} s: p50 is {middle:.0f} us off")
        tail, measure = quantile(ours[delay], 0.99), quantile(theirs[delay], 0.99)
        if not tail <= measure + tolerance(delay):
            found.append(f"{delay} s: p99 is {tail:.0f} us off, where C is {measure:.0f}")
    return found


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.verify)])
def test_injected_delays_come_back(bench: Bench, workers: int) -> None:
    said = []
    for _ in range(ATTEMPTS):
        outcome, ours, theirs = beside(bench, workers)
        assert outcome.sound and outcome.code in (0, 4), outcome.text
        for delay, values in ours.items():
            assert len(values) > SECONDS / 2 / (delay + PAUSE), outcome.text
            assert outcome.shows_all_samples("CALL", f"delay {delay:g}")
        said.append(faults(ours, theirs))
        if not said[-1]:
            return
    raise AssertionError(f"in every attempt something was off: {said}")
