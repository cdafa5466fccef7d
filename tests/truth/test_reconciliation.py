"""What the ledger says happened is what the server saw, over workers, lost reports and a killed server."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from truthkit import Bench

QUICK = 20_000
LONG = pytest.param(1_000_000, marks=[pytest.mark.verify, pytest.mark.timeout(1500)])
USERS = 40


def logged(log: Path) -> Counter[int]:
    """How often the server received each number."""
    return Counter(map(int, log.read_text().split()))


@pytest.mark.parametrize("emits", [QUICK, LONG])
def test_ledger_and_server_agree_and_workers_merge_exactly(bench: Bench, emits: int) -> None:
    log = bench.folder / "log"
    server = bench.server("--log", log)
    env = {"USERS": str(USERS), "EMITS": str(emits), "MESS": "1"}
    outcome = bench.start("counted.py", server.url, workers=4, env=env)(1400)
    assert outcome.sound and outcome.code in (0, 4), outcome.text
    ledger, counts = outcome.report["ledger"], server.counts()
    assert ledger["emits"] == ledger["acked"] == emits
    assert counts["received"] == counts["acked"] == {"work": emits}
    received = logged(log)
    assert len(received) == emits and set(received.values()) == {1}
    assert {number for told in outcome.told for number in told.get("acked", ())} == set(received)
    for kind, name in (("CALL", "work"), ("CONNECT", "/"), ("OPEN", "websocket"), ("DIAL", "tcp")):
        assert outcome.shows_all_samples(kind, name), f"{kind} {name}\n{outcome.text}"
    (mess,) = [told["mess"] for told in outcome.told if "mess" in told]
    assert min(mess.values()) > 0, f"nothing went wrong with the reports: {mess}"


@pytest.mark.parametrize("emits", [QUICK // 5, LONG])
def test_a_killed_server_leaves_no_false_claims(bench: Bench, emits: int) -> None:
    log = bench.folder / "log"
    server = bench.server("--log", log)
    env = {"USERS": str(USERS), "EMITS": str(emits)}
    finish = bench.start("counted.py", server.url, workers=4, env=env)
    for share, pause in ((0.25, 0.5), (0.5, 2.6)):  # the second time, emits that wait for it give up
        while not log.exists() or log.read_bytes().count(b"\n") < emits * share:
            time.sleep(0.1)
        server.process.popen.kill()
        server.process.popen.wait()
        time.sleep(pause)
        server = bench.server("--log", log, "--port", str(server.port))
    outcome = finish(1400)
    assert outcome.sound and outcome.code in (1, 4), outcome.text
    told = {
        fate: {number for process in outcome.told for number in process.get(fate, ())}
        for fate in ("acked", "not_sent", "unknown")
    }
    received = logged(log)
    assert set(received.values()) == {1}, "something was received twice"
    assert told["acked"] <= set(received)
    assert not told["not_sent"] & set(received)
    assert set(received) <= told["acked"] | told["unknown"]
    ledger = outcome.report["ledger"]
    assert ledger["emits"] == emits and ledger["open"] == 0
    assert ledger["acked"] == len(told["acked"])
    assert ledger["not_sent"] == len(told["not_sent"]) > 0
    assert ledger["indeterminate"] + ledger["timeout"] == len(told["unknown"]) > 0
