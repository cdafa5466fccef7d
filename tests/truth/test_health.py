"""A generator that is starved says so, and one that isn't never does."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from truthkit import Bench, Outcome

FEW = ("-u", "5", "-r", "5", "-t", "9s")
#: Users that come until the end.
RAMP = ("-u", "45", "-r", "5", "-t", "9s")
BURN = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"


def is_fine(outcome: Outcome) -> bool:
    """Whether a run judged itself, and found nothing wrong."""
    health = outcome.report["health"]
    judged = all(process["windows"] > 0 for process in health["processes"])
    return judged and health["verdict"] == "ok" and outcome.code == outcome.report["exit_code"] == 0


def is_limited(outcome: Outcome) -> bool:
    """Whether a run found itself to be the limit."""
    report = outcome.report
    return bool(
        outcome.code == report["exit_code"] == 4
        and report["health"]["verdict"] == "generator limited"
        and report["untrusted"] == ["the load generator itself was the limit"]
        and "this process is the bottleneck now" in outcome.text
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.verify)])
def test_the_verdict_is_true(bench: Bench, rounds: int) -> None:
    """Runs that are held up for 20 ms at a time, that share a core with a busy process, or are stopped."""
    server = bench.server()
    core = min(os.sched_getaffinity(0))
    with bench.process([sys.executable, "-c", BURN % core]):
        for number in range(rounds):
            held = {
                f"{how} {args[1]}": bench.start(
                    "burner.py", server.url, *args, env={"HOLD": how, "SPAN": "0.02", "PAUSE": "0.08"}
                )
                for how in ("cpu", "sleep")
                for args in (FEW, RAMP)
            }
            cores = ({}, {"CORE": str(core)}, *([{}, {"CORE": str(core)}] if rounds > 1 else []))
            fine = [bench.start("burner.py", server.url, *FEW, env=env) for env in cores]
            stopped = bench.start("burner.py", server.url, *FEW)
            process = bench.newest
            process.wait_for("All users spawned", 60)
            time.sleep(1.0)
            process.signal(signal.SIGSTOP)
            time.sleep(2.0)
            process.signal(signal.SIGCONT)
            for finish in (*fine, stopped):
                outcome = finish(60)
                assert is_fine(outcome), f"round {number}: {outcome.text}"
                still = any("stood still for" in reason for reason in outcome.report["health"]["reasons"])
                assert still == (finish is stopped), f"round {number}: {outcome.text}"
            for what, finish in held.items():
                outcome = finish(60)
                assert is_limited(outcome), f"round {number}, {what}: {outcome.text}"
                assert "holds the event loop up" in outcome.report["health"]["reasons"][0], outcome.text


@pytest.mark.verify
def test_a_starved_generator_is_told_to_share_its_work(bench: Bench) -> None:
    server = bench.server()
    env = {"HOLD": "cpu", "SPAN": "0.03", "PAUSE": "0.01"}
    short = ("-u", "2", "-r", "2", "-t", "1s")
    runs = [bench.start("burner.py", server.url, *args, env=env) for args in (FEW, short)]
    outcome, unjudged = (finish(60) for finish in runs)
    assert is_limited(outcome), outcome.text
    # Among other busy processes, it doesn't get the three quarters of a core that it would use.
    short_of = outcome.report["health"]["cpu_peak"] >= 0.5
    remedy = "Use more workers (--processes)" if short_of else "holds the event loop up"
    assert remedy in outcome.report["health"]["reasons"][0], outcome.text
    assert unjudged.code == 0 and unjudged.report["health"]["verdict"] == "not judged", unjudged.text
    assert "not judged" in unjudged.text and "too short to judge" in unjudged.text
