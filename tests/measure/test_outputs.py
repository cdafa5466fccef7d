from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from sioload.measure.recorder import Recorder
from sioload.report.checks import parse
from sioload.report.ci import github_lines, junit_xml, markdown
from sioload.report.document import report
from sioload.report.evaluation import evaluate
from sioload.report.merge import Swarm

NASTY = "<b>|`*_[x](http://e)\x01&\ud800"


@pytest.fixture
def document() -> dict[str, Any]:
    recorder = Recorder()
    recorder.row("CALL", NASTY).add(0.5)
    recorder.row("EMIT", "message").tick()
    recorder.foreign_row("<i>|x`", "say").add(0.1)
    recorder.ledger.emits += 1
    swarm = Swarm()
    swarm.take("local", recorder.snapshot(1))
    texts = (
        "CALL: count == 1",
        "CALL: max < 1ms",
        "CALL: max < 2ms warn",
        f"CALL[{NASTY}]: fail_ratio > 50%",
    )
    checks = [evaluate(parse(text), swarm.figures(), duration=1, peak_users=1) for text in texts]
    return report(
        swarm.figures(),
        version="0",
        started=0.0,
        duration=1,
        host="http://h",
        peak_users=1,
        checks=checks,
        exit_code=4,
    )


def test_junit_has_one_case_per_check(document: dict[str, Any]) -> None:
    root = ElementTree.fromstring(junit_xml(document).encode())
    (suite,) = root.findall("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "2", "0")
    cases = suite.findall("testcase")
    assert len(cases) == 4
    assert [case.find("failure") is not None for case in cases] == [False, True, False, True]
    assert cases[1].get("name") == "CALL: max < 1ms"
    failure = cases[1].find("failure")
    assert failure is not None and "max is 500 ms" in str(failure.get("message"))
    assert "warning" in str(cases[2].findtext("system-out"))
    assert "ledger doesn't balance" in str(suite.findtext("system-err"))


def test_junit_without_checks_is_still_a_document(document: dict[str, Any]) -> None:
    well = {**document, "checks": [], "untrusted": [], "exit_code": 0}
    root = ElementTree.fromstring(junit_xml(well).encode())
    assert root.get("tests") == "0"


@pytest.mark.parametrize("code", [1, 3, 4])
def test_junit_of_a_run_that_failed_without_a_check_has_a_case_that_failed(
    document: dict[str, Any], code: int
) -> None:
    held = {"check": "CALL: count == 1", "ok": True, "warn": False, "value": "1", "reason": ""}
    failed = {**document, "checks": [held], "exit_code": code, "exit_reason": "worker a was lost"}
    root = ElementTree.fromstring(junit_xml(failed).encode())
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    well, case = root.iter("testcase")
    failure = case.find("failure")
    assert case.get("name") == f"exit code {code}" and well.find("failure") is None
    assert failure is not None and failure.get("message") == "worker a was lost"


def test_markdown_shows_names_as_they_are(document: dict[str, Any]) -> None:
    text = markdown(document)
    rows = [line for line in text.splitlines() if line.startswith("| CALL |")]
    (row,) = rows
    (foreign,) = [line for line in text.splitlines() if "| say |" in line]
    assert (row.count("|"), foreign.count("|")) == (9, 9), "a name or a type can't add a column"
    assert "<b>" not in text and "<i>" not in text and "](http" not in text
    for part in ("exit code 4", "1 emit,", "**failed**", "warning", "max is 500 ms"):
        assert part in text


def test_github_gets_one_line_for_each_thing_that_is_wrong(document: dict[str, Any]) -> None:
    document["checks"][1]["reason"] = "100% wrong\nand ::error::more"
    lines = github_lines(document).splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["::error", "::error", "::warning", "::error"]
    assert "ledger" in lines[0]
    assert lines[1] == "::error title=sioload check::CALL: max < 1ms: 100%25 wrong%0Aand ::error::more"


def test_github_gets_nothing_when_all_is_well(document: dict[str, Any]) -> None:
    assert github_lines({**document, "checks": document["checks"][:1], "untrusted": []}) == ""
