"""A generator that is starved says so, and one that isn't never does."""

from __future__ import annotations

import pytest
from truthkit import Bench

LONG = pytest.param(20, marks=[pytest.mark.verify, pytest.mark.timeout(600)])


def test_a_starved_generator_says_so(bench: Bench) -> None:
    server = bench.server()
    finish = bench.start("burner.py", server.url, "-u", "5", "-r", "5", "-t", "9s", env={"BURN": "1"})
    outcome = finish(40)
    assert outcome.code == outcome.report["exit_code"] == 4, outcome.text
    assert outcome.report["health"]["verdict"] == "generator limited"
    assert outcome.report["untrusted"] == ["the load generator itself was the limit"]
    assert "generator limited" in outcome.text and "this process is the bottleneck now" in outcome.text


@pytest.mark.parametrize("runs", [1, LONG])
def test_a_generator_with_time_to_spare_never_does(bench: Bench, runs: int) -> None:
    server = bench.server()
    for _ in range(runs):
        outcome = bench.start("burner.py", server.url, "-u", "5", "-r", "5", "-t", "8s")(40)
        assert outcome.code == 0, outcome.text
        health = outcome.report["health"]
        assert health["verdict"] == "ok" and health["processes"][0]["windows"] > 0, outcome.text
