"""Each form of check holds and fails as it should, on the figures of a real run, wherever it is told."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import serverkit
from truthkit import Bench

HOLD = [
    "CALL[echo]: p99 < 2s", "CALL[echo]: min > 1us", "CALL: p50 <= 2000ms", "CALL[ref*]: fail_ratio == 100%",
    "CALL[refused]: failures > 0", "CALL[*]: count >= 10", "CALL[echo]: rate > 1/s",
    "REPLY[echo>news]: mean < 2s", "CALL: skipped < 1000", "CONNECT: fail_ratio < 1%",
    "UPGRADE[websocket]: count == 3", "OPEN[poll*]: p95 < 2s",
    "DIAL[tcp]: max < 2s", "WAIT[news]: p90 < 2s", "EMIT[subscribe]: count == 3", "PUSH[news]: lost == 0",
    "PUSH: duplicated == 0", "PUSH[n*s]: reordered == 0", "PUSH[news]: p99.9 < 5s", "ledger: timeout == 0",
    "ledger: acked > 10", "ledger: open == 0", "run: peak_users >= 3", "run: duration > 1s",
    "run: workers_lost == 0", "connections: opened == 3", "connections: closed == 3",
    "CALL[nobody]: count == 0 min_samples 0", "CALL[echo]: count > 1 min_samples 5",
    "CALL[echo]: p99 < 30s abort after 1s",
]  # fmt: skip
FAIL = [
    "CALL[echo]: p99 < 1us", "CALL: max != 0s min_samples 1000000", "CALL[refused]: failures == 0",
    "CALL[nobody]: p50 < 1s", "REPLY: rate > 100000", "CONNECT: count > 3", "UPGRADE: fail_ratio > 0.5",
    "PUSH[news]: received < 1", "ledger: emits < 5", "run: duration < 100ms", "run: peak_users > 3",
    "connections: upgraded != 3", "EMIT: failures >= 1", "PUSH[news]: expected == 0",
]  # fmt: skip
WARN = ["CALL[echo]: p50 < 1us warn", "ledger: acked == 0 warn"]


def test_checks_tell_the_truth_everywhere(bench: Bench, target: serverkit.Server) -> None:
    (bench.folder / "checks.toml").write_text(f"checks = {json.dumps([*HOLD, *FAIL])}")
    warnings = [part for check in WARN for part in ("--sio-check", check)]
    junit = bench.folder / "junit.xml"
    outcome = bench.start("checked.py", target.url, "-u", "3", "-r", "3", "-t", "4s", "--sio-checks-file",
                          bench.folder / "checks.toml", "--sio-junit", junit, *warnings)(40)  # fmt: skip
    assert outcome.code == 3 and outcome.sound, outcome.text
    results = {check["check"]: check for check in outcome.report["checks"]}
    assert [text for text in HOLD if not results[text]["ok"]] == [], outcome.text
    assert [text for text in [*FAIL, *WARN] if results[text]["ok"]] == [], outcome.text
    assert len(results) == len(HOLD) + len(FAIL) + len(WARN)
    for text, result in results.items():
        word = "ok" if result["ok"] else "warn" if result["warn"] else "FAIL"
        assert f"{word:<5} {text[:50]}" in outcome.text
    suite = ElementTree.parse(junit).getroot()[0]
    assert int(suite.get("tests", 0)) == len(results)
    assert int(suite.get("failures", 0)) == len(FAIL)
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == set(FAIL)
