"""A generator that is starved says so, and one that isn't never does."""

from __future__ import annotations

import pytest
from truthkit import Bench, Outcome


def is_fine(outcome: Outcome) -> bool:
    """Whether a run judged itself, and found nothing wrong."""
    health = outcome.report["health"]
    judged = all(process["windows"] > 0 for process in health["processes"])
    return judged and health["verdict"] == "ok" and outcome.code == outcome.report["exit_code"] == 0


def test_a_starved_generator_says_so_and_its_neighbour_does_not(bench: Bench) -> None:
    server = bench.server()
    args = ["-u", "5", "-r", "5", "-t", "9s"]
    starved = bench.start("burner.py", server.url, *args, env={"BURN": "1"})
    neighbour = bench.start("burner.py", server.url, *args)
    outcome = starved(40)
    assert outcome.code == outcome.report["exit_code"] == 4, outcome.text
    assert outcome.report["health"]["verdict"] == "generator limited"
    assert outcome.report["untrusted"] == ["the load generator itself was the limit"]
    assert "generator limited" in outcome.text and "this process is the bottleneck now" in outcome.text
    other = neighbour(40)
    assert is_fine(other), other.text


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_a_generator_with_time_to_spare_never_does(bench: Bench) -> None:
    server = bench.server()
    for _ in range(20):
        outcome = bench.start("burner.py", server.url, "-u", "5", "-r", "5", "-t", "8s")(40)
        assert is_fine(outcome), outcome.text
