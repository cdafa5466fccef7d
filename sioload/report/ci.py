"""What a CI system reads of a report: JUnit XML, a Markdown summary, and GitHub's workflow commands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from sioload.plain import Json
from sioload.report import drill
from sioload.report.capacity import lines as level_lines
from sioload.report.capacity import name_of_failure
from sioload.report.document import UNVERIFIED, unverified
from sioload.report.summary import ended_early, ran, users_text
from sioload.report.words import counted, ms

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"[&<>|`*_\[\]\\~#]")
_MARKDOWN_ROWS = 30


def junit_xml(report: Mapping[str, Json]) -> str:
    """JUnit XML with one test case per check. A failed check with `warn` passes and says so in its output.

    A run that failed by something else than a check has a case for that, since else it would pass. Why
    figures can't be trusted stands in the suite's `system-err`.
    """
    search = report.get("capacity")
    checks = report["checks"]
    if search is not None and not checks:  # a suite without a case is an error to some
        checks = [{"check": "capacity", "ok": True, "warn": False, "value": search["summary"]}]
    failed = sum(not check["ok"] and not check["warn"] for check in checks)
    if report["exit_code"] and not failed:
        reason = report["exit_reason"] or "; ".join(report["untrusted"])
        code = f"exit code {report['exit_code']}"
        checks = [*checks, {"check": code, "ok": False, "warn": False, "reason": reason or code}]
        failed = 1
    totals = {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "skipped": "0"}
    time = f"{report['duration_s']:.3f}"
    root = ElementTree.Element("testsuites", {"name": "sioload", **totals, "time": time})
    attributes = {"name": "sioload", **totals, "time": time, "timestamp": report["started"].rstrip("Z")}
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    if told := _told(report):
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in told.items():
            ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for check in checks:
        _add_case(suite, check)
    if report["untrusted"]:
        ElementTree.SubElement(suite, "system-err").text = _xml("\n".join(report["untrusted"]))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _told(report: Mapping[str, Json]) -> dict[str, str]:
    """What is told beside the checks, by its name: a warning, the phases, a search and its levels."""
    told = {"warning": UNVERIFIED} if unverified(report) else {}
    told |= {"time": early} if (early := ended_early(report)) else {}
    for phase in report["phases"]:
        calls, latency = phase["calls"], phase["calls"]["latency_ms"] or {}
        times = f", p50 {latency['p50']:g} ms, p99 {latency['p99']:g} ms" if latency else ""
        users = counted(phase["users"]["peak"], "user")
        told[f"phase {phase['name']}"] = (
            f"{phase['start_s']:g} s to {phase['end_s']:g} s, {users} at the peak, "
            f"{counted(calls['count'], 'call')}{times}, {counted(phase['failures'], 'failure')}"
        )
    if (search := report.get("capacity")) is not None:
        told["capacity"] = search["summary"]
        for number, level in enumerate(search["levels"], 1):
            told[f"level {number}"] = "; ".join(" ".join(line.split()) for line in level_lines(level))
    return told


def _add_case(suite: ElementTree.Element, check: Mapping[str, Json]) -> None:
    """The test case of a check."""
    attributes = {"classname": "sioload.checks", "name": _xml(check["check"]), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if check["ok"] or check["warn"]:
        text = f"measured: {check['value']}" if check["ok"] else f"warning: {check['reason']}"
        ElementTree.SubElement(case, "system-out").text = _xml(text)
    else:
        attributes = {"type": "check", "message": _xml(check["reason"])}
        failure = ElementTree.SubElement(case, "failure", attributes)
        failure.text = _xml(f"{check['check']}\n{check['reason']}")


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)


def markdown(report: Mapping[str, Json]) -> str:
    """A summary in Markdown, as for the file that GITHUB_STEP_SUMMARY names."""
    verdict = {0: "passed", 3: "a check failed", 4: "the figures can't be trusted"}
    outcome = verdict.get(report["exit_code"], "failed")
    lines = [f"## sioload: {outcome} (exit code {report['exit_code']})", ""]
    lines += [md(ran(report)), ""]
    lines += [f"- **{md(report['exit_reason'])}**"] if report["exit_reason"] else []
    lines += [f"- {md(told)}"] if (told := users_text(report["users"])) else []
    lines += [f"- **{UNVERIFIED}**"] if unverified(report) else []
    untrusted = [reason for reason in report["untrusted"] if reason not in report["exit_reason"]]
    lines += [f"- **{md(reason)}**" for reason in untrusted]
    if report["checks"]:
        lines += ["", "| check | | measured |", "|---|---|---|"]
        for check in report["checks"]:
            word = "ok" if check["ok"] else "warning" if check["warn"] else "**failed**"
            measured = check["value"] if check["ok"] else check["reason"]
            lines.append(f"| {md(check['check'])} | {word} | {md(measured)} |")
    if report["phases"]:
        lines += _phases(report["phases"])
    if "capacity" in report:
        lines += _capacity(report["capacity"])
    else:
        lines += _rows(report["events"])
    for heard in report["audience"]:
        reached = f"{heard['reached']} of {heard['owed']} reached, {heard['missed']} missed"
        strays = f"{counted(heard['strays'], 'stray')}, {counted(heard['duplicates'], 'duplicate')}"
        lines += ["", f"Audience of {md(heard['name'])}: {reached}, {strays}"]
    for told in drill.lines(report.get("drill", ())):
        lines += ["", f"Drill {md(told)}"]
    ledger = ", ".join(
        counted(n, "emit") if name == "emits" else f"{n} {md(name)}" for name, n in report["ledger"].items()
    )
    health = report["health"]
    lines += ["", f"Ledger: {ledger}", "", f"Generator: {health['verdict']}"]
    lines += [f"- {md(reason)}" for reason in health["reasons"]]
    return "\n".join(lines) + "\n"


def _phases(phases: Sequence[Mapping[str, Json]]) -> list[str]:
    lines = ["", "| phase | from s | to s | users | calls | per second | p50 ms | p99 ms | failures |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for phase in phases:
        calls = phase["calls"]
        times = _times(calls["latency_ms"] or {}, "p50", "p99")
        cells = f"{phase['start_s']:g} | {phase['end_s']:g} | {phase['users']['peak']} | {calls['count']}"
        lines.append(
            f"| {md(phase['name'])} | {cells} | {calls['rate']:.1f} | {times} | {phase['failures']} |"
        )
    return lines


def _capacity(search: Mapping[str, Json]) -> list[str]:
    """A search: a row for each level."""
    lines = ["", f"**{md(search['summary'])}**", ""]
    lines += [
        f"| {search['unit']} | connected | per second | p50 ms | p99 ms | |",
        "|--:|--:|--:|--:|--:|---|",
    ]
    for level in search["levels"]:
        latency = level["latency_ms"] or {}
        times = _times(latency, "p50", "p99")
        word = "held" if level["ok"] else f"**failed**: {md(name_of_failure(level))}"
        again = " (to confirm)" if level["confirming"] else ""
        counts = f"{level['load']} | {level['connected']} | {level['answers_per_s']:.1f}"
        lines.append(f"| {counts} | {times} | {word}{again} |")
    return lines


def _rows(events: Sequence[Mapping[str, Json]]) -> list[str]:
    lines = ["", "| type | name | count | failures | per second | p50 ms | p99 ms | max ms |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
    for event in events[:_MARKDOWN_ROWS]:
        latency = event["latency_ms"] or {}
        times = _times(latency, "p50", "p99", "max")
        cells = f"{event['count']} | {event['failures']} | {event['rate']:.1f} | {times}"
        lines.append(f"| {md(event['type'])} | {md(event['name'])} | {cells} |")
    if len(events) > _MARKDOWN_ROWS:
        lines.append(f"\n...and {counted(len(events) - _MARKDOWN_ROWS, 'more row')} in the report.")
    return lines


def _times(latency: Mapping[str, Json], *stats: str) -> str:
    """Cells of a row, empty where nothing was timed."""
    return " | ".join(ms(latency[stat]) if latency else "" for stat in stats)


def md(text: str) -> str:
    """Text that shows as it is: names come from servers and scripts."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def github_lines(report: Mapping[str, Json]) -> str:
    """GitHub's workflow commands: one `::error` or `::warning` line for each thing that is wrong."""
    lines = [_command("error", "sioload figures", reason) for reason in report["untrusted"]]
    lines += [_command("warning", "sioload", UNVERIFIED)] if unverified(report) else []
    for check in report["checks"]:
        if not check["ok"]:
            level = "warning" if check["warn"] else "error"
            lines.append(_command(level, "sioload check", f"{check['check']}: {check['reason']}"))
    return "".join(line + "\n" for line in lines)


def _command(level: str, title: str, message: str) -> str:
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title={title}::{escaped}"
