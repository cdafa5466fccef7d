"""Comparing reports: what is read, what is refused and why, what counts as a change that is too much."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serverkit

from sioload.cli.main import main
from sioload.errors import CheckError, UsageError
from sioload.load.phases import parse_phases
from sioload.measure.recorder import Recorder
from sioload.report.changes import parse_change
from sioload.report.compare import compared
from sioload.report.compare_html import page
from sioload.report.compare_text import asked, markdown, shown, terminal
from sioload.report.document import report
from sioload.report.merge import Swarm
from sioload.report.runs import read_run

START = 1_800_000_000.0


def document(
    factor: float = 1.0, *, seed: int = 1, failing: float = 0.0, seconds: int = 30, calls: int = 100
) -> dict[str, Any]:
    """The report of a run whose calls take about 50 ms, times a factor; so many of each event a second."""
    chance, recorder, seconds = random.Random(seed), Recorder(), 30
    for _ in range(10):
        recorder.population.of("Talker").spawned()
    for second in range(seconds):
        recorder.row("OPEN", "websocket").add(0.01)
        recorder.row("EMIT", "typing").tick(10)
        for name in ("message", "join"):
            row = recorder.row("CALL", name)
            for _ in range(calls):
                recorder.ledger.emits += 1
                recorder.ledger.end("acked")
                seconds_taken = factor * chance.lognormvariate(-3, 0.3)
                if chance.random() < failing:
                    row.fail("no answer", seconds_taken)
                else:
                    row.add(seconds_taken)
        recorder.take(START + second + 1)
    receiver = recorder.delivery.receiver()
    for number in (1, 2, 4):
        receiver.seen("news", "s", number)
    recorder.row("PUSH", "news").add(0.002)
    figures = Swarm().take_local(recorder)
    found = report(figures, version="0.1.0", started=START, duration=seconds, host="http://x", peak_users=10,
                   versions={"locust": "2.47"})  # fmt: skip
    return json.loads(json.dumps(found))


BASE = document()


def of_schema_1(found: dict[str, Any]) -> dict[str, Any]:
    for key in ("blocks", "phases"):
        del found[key]
    del found["users"]["classes"]
    for event in found["events"]:
        for key in ("blocks", "histogram"):
            del event[key]
    return {**found, "schema": 1}


def runs(*documents: dict[str, Any]) -> list[Any]:
    return [read_run(f"{number}.json", json.dumps(found)) for number, found in enumerate(documents)]


def judged(before: list[Any], after: list[Any], *changes: str) -> dict[str, Any]:
    return compared(before, after, [parse_change(change) for change in changes])


def stat(found: dict[str, Any], type: str, name: str, stat: str) -> dict[str, Any]:
    row = next(row for row in found["rows"] if (row["type"], row["name"]) == (type, name))
    return next(each for each in row["stats"] if each["stat"] == stat)


def put(path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(found: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            found = found[int(parent) if parent.isdigit() else parent]
        found[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("users.asked", 20), "user numbers: 10 in a.json, 20 in b.json"),
        (put("duration_s", 33.1), "duration: 30.0 s in a.json, 33.1 s in b.json"),
        (put("duration_s", 32.9), None),
        (
            put("phases", [{"name": "peak", "load": "10 users for 30s"}]),
            "phases: none in a.json, peak: 10 users",
        ),
        (put("events.0.name", "polling"), "transports: websocket in a.json, polling in b.json"),
        (put("events.0.name", "websocket @moderator"), None),
        (put("connections.upgraded", 3), "transports: websocket in a.json, upgrade+websocket in b.json"),
        (put("users.classes", [{"class": "Reader", "asked": 10}]), "user classes: "),
        (put("sioload", "0.2.0"), "version of sioload: 0.1.0 in a.json, 0.2.0 in b.json"),
        (put("versions.locust", "2.48"), "version of Locust: 2.47 in a.json, 2.48 in b.json"),
        (put("health.verdict", "generator limited"), "verdict: generator limited in b.json"),
        (put("capacity", {"holds": 400}), "levels: b.json is a search's, whose rows are those of all"),
        (
            put("settings.tls_verify", False),
            "certificates: TLS certificates were not verified in b",
        ),
        (lambda found: found, None),
    ],
)
def test_what_cannot_be_compared_is_said_by_name(
    change: Callable[[dict[str, Any]], Any], reason: str | None, tmp_path: Path, capsys: Any
) -> None:
    other = copy.deepcopy(BASE)
    change(other)
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, found in zip(paths, (BASE, other), strict=True):
        path.write_text(json.dumps(found))
    args = ["compare", str(paths[0]), "--with", str(paths[1])]
    assert main(args) == 0
    out = capsys.readouterr().out.replace("\n", " ").replace(f"{tmp_path}/", "")
    assert ("NOT COMPARABLE" in out) == (reason is not None)
    assert main([*args, "--strict"]) == (0 if reason is None else 2)
    told = capsys.readouterr()
    if reason is not None:
        line = told.err.replace(f"{tmp_path}/", "")
        assert reason in line and line.count("\n") == 1 and told.out == ""


@pytest.mark.parametrize(
    ("text", "comparable"), [("peak: 20/s for 30s", True), ("peak: 10 users for 30s", False)]
)
def test_users_of_sessions_per_second_may_differ_whatever_their_phase_is_called(
    text: str, comparable: bool
) -> None:
    (span,) = str(parse_phases(text)).split("; ")  # as `Timeline` takes it into a report
    before, after = (copy.deepcopy(BASE) for _ in range(2))
    for found in (before, after):
        found["phases"] = [{"name": "peak", "load": span}]
    after["users"]["asked"] = 13
    found = judged(runs(before), runs(after))
    assert found["comparable"] is comparable
    assert found["reasons"] == ([] if comparable else ["user numbers: 10 in 0.json, 13 in 0.json"])
    after["phases"] = []
    (reason,) = [each for each in judged(runs(before), runs(after))["reasons"] if each.startswith("phases")]
    assert reason == f"phases: {span} in 0.json, none in 0.json"


TEXT = json.dumps(BASE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT[: len(TEXT) // 2], "is cut off"),
        ("", "is no report of sioload"),
        ("<html>", "is no report of sioload"),
        ("[" * 100_000, "is no report of sioload: no JSON"),
        ("[1]", "is no report of sioload: `--sio-report FILE` writes one"),
        ('{"stats": []}', "is no report of sioload: `--sio-report FILE` writes one"),
        (TEXT.replace('"schema": 2', '"schema": 9'), "is of schema 9; this sioload reads 1 and 2"),
        (TEXT.replace('"blocks": "', '"blocks": "x'), "is no whole report of sioload"),
        (TEXT.replace('"ledger"', '"ledgers"'), "is no whole report of sioload"),
        (TEXT.replace('"timeout": 0', '"timeout": null'), "is no whole report of sioload"),
        (TEXT.replace('"timeout": 0', '"timeout": Infinity'), "is no whole report of sioload"),
        (TEXT.replace('"closed": {}', '"closed": "none"'), "is no whole report of sioload"),
        (TEXT.replace('"peak": 10', '"top": 10'), "is no whole report of sioload"),
        (TEXT.replace('"verdict"', '"verdicts"'), "is no whole report of sioload"),
        (TEXT.replace('"settings": {}', '"settings": null'), "is no whole report of sioload"),
        (TEXT.replace('"lost": 1', '"lost": "1"'), "is no whole report of sioload"),
        (TEXT.replace('"failures": 0', '"failures": -1'), "is no whole report of sioload"),
        (re.sub(r'("blocks": \{.*?"seconds": )([0-9.]+)', r'\1"\2"', TEXT), "is no whole report of sioload"),
        (None, "can't read"),
    ],
)
def test_a_file_that_is_no_whole_report_is_one_line(
    text: str | None, told: str, tmp_path: Path, capsys: Any
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(TEXT)
    if text is not None:
        bad.write_text(text)
    for args in ((good, "--with", bad), (bad, "--with", good)):
        assert main(["compare", *map(str, args)]) == 2
        error = capsys.readouterr().err
        assert told in error and str(bad) in error and error.count("\n") == 1


def test_bad_usage_is_one_line(tmp_path: Path, capsys: Any) -> None:
    good = tmp_path / "good.json"
    good.write_text(TEXT)
    for args, told in [
        ([], "BASE.json"),
        ([good], "--with"),
        ([good, "--with"], "--with"),
        ([good, "--with", good, "--fail-on", "CALL: p999 +10%"], "nearest: 'p99.9'"),
        ([good, "--with", good, "--fail-on", "CALL: p99"], "write SELECTOR: STAT CHANGE"),
        ([good, "--with", good, "--fail-on", "CALLS: p99 +10%"], "nearest: 'CALL'"),
        ([good, "--with", good, "--fail-on", "CALL: p99 +10"], "needs a unit"),
        ([good, "--with", good, "--fail-on", "CALL: rate +10ms"], "'rate' is a number without a unit"),
        ([good, "--with", good, "--fail-on", "CALL: p99 +10% in peak"], "after +10%, but 'in peak' does"),
        ([good, "--with", good, "--fail-on", "CALL: p99 +10 ms warn"], "after +10ms, but 'warn' does"),
        ([good, "--with", good, "--fail-on", "CALL: p99 +1O%"], "'1O%' is no share"),
        ([good, "--with", good, "--fail-on", "FANOUT: reach -1%"], "connections: take 'missed'"),
        ([good, "--with", good, "--fail-on", "run: duration +10%"], "counts and times of rows, ledger"),
        ([good, "--with", good, "--fail-on", "drill: not_back +1"], "counts and times of rows, ledger"),
        ([good, "--with", good, "--fail-on", "CALL[mesage]: p99 +10%"], "(nearest: CALL[message])"),
        ([good, "--with", good, "--markdown", "/dev/null/x.md"], "can't write"),
        ([good, good, "--with", good], f"{good} stands twice on a side"),
        ([good, "--with", f"{tmp_path}/./{good.name}", good], "each file is a run, repeats are others"),
        ([good, "--with", good, "--json", good], "a report and --json both name"),
        ([good, "--with", good, "--html", "x", "--json", "x"], "--json and --html both"),
    ]:
        assert main(["compare", *map(str, args)]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert good.read_text() == TEXT


@pytest.mark.parametrize("option", [["--with", "{}"], ["--with={}"]])
def test_all_files_behind_with_are_of_its_side(option: list[str], tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.json", "b.json", "c.json")]
    for path in paths:
        Path(path).write_text(TEXT)
    args = [paths[0], *(part.format(paths[1]) for part in option), paths[2]]
    assert main(["compare", *args, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [[run["file"] for run in found[side]] for side in ("before", "after")] == [paths[:1], paths[1:]]


def test_a_change_is_real_or_may_be_noise() -> None:
    before = runs(BASE)
    same = judged(before, runs(document(1.05, seed=2)))
    assert stat(same, "CALL", "message", "p50")["verdict"] == "may be noise: repeat"
    assert same["comparable"] and same["exit_code"] == 0
    assert "no change that is told from noise" in terminal(same)
    worse = judged(before, runs(document(1.6, seed=3)))
    for name in ("p50", "p90", "p99", "mean"):
        assert stat(worse, "CALL", "message", name)["verdict"] == "real, worse"
        assert stat(worse, "CALL", "message", name)["change"] == pytest.approx(0.6, abs=0.1)
    assert stat(worse, "CALL", "message", "rate")["verdict"] == "" and worse["exit_code"] == 0
    assert stat(judged(runs(document(1.6)), before), "CALL", "join", "p50")["verdict"] == "real, better"
    thrice = [runs(*(document(factor, seed=seed) for seed in (4, 5, 6))) for factor in (1.0, 1.2)]
    assert stat(judged(*thrice), "CALL", "message", "p50")["verdict"] == "real, worse"
    assert stat(judged(thrice[0], runs(BASE, BASE, BASE)), "CALL", "message", "p99")["real"] is False
    # The medians shown are those of the reports.
    shown = stat(worse, "CALL", "message", "p50")["before"]
    assert shown == pytest.approx(BASE["events"][1]["latency_ms"]["p50"]) or shown == pytest.approx(
        next(e for e in BASE["events"] if e["name"] == "message")["latency_ms"]["p50"]
    )


SLOW = document(1.6, seed=3, failing=0.2)


@pytest.mark.parametrize(
    ("change", "failed", "reason"),
    [
        ("CALL[message]: p99 +10%", True, "real, worse"),
        ("CALL: p99 +10%", True, "real, worse"),
        ("CALL[message]: p50 +20ms", True, "real, worse"),
        ("CALL[message]: p50 +200ms", False, "within"),
        ("CALL[message]: p50 +90%", False, "within"),
        ("CALL[message]: p50 -5%", False, "within"),
        ("CALL: failures +0%", True, "real"),
        ("CALL: fail_ratio +1000%", True, "real, worse"),
        ("CALL: rate -5%", False, "within"),
        ("CALL: max +5%", False, "may be noise: repeat"),
        ("EMIT: count +5%", False, "within"),
        ("PUSH[news]: lost +5%", False, "within"),
        ("RECONNECT: p99 +5%", False, None),
        ("ledger: acked -10%", False, "within"),
        ("connections: opened +10%", False, "within"),
    ],
)
def test_a_change_that_is_too_much_fails_if_it_is_real(change: str, failed: bool, reason: str | None) -> None:
    if reason is None:
        with pytest.raises(UsageError, match="matches no row"):
            judged(runs(BASE), runs(SLOW), change)
        return
    found = judged(runs(BASE), runs(SLOW), change)
    assert (found["fail_on"][0]["failed"], found["fail_on"][0]["reason"]) == (failed, reason)
    assert found["exit_code"] == (3 if failed else 0)


def test_what_is_not_there_any_more_fails_and_what_is_new_does_not() -> None:
    without = copy.deepcopy(BASE)
    without["events"] = [event for event in BASE["events"] if event["type"] != "CALL"]
    for change in ("CALL: p99 +10%", "CALL[join]: fail_ratio +10%", "CALL: p50 -5%"):
        gone = judged(runs(BASE), runs(without), change)
        assert gone["exit_code"] == 3 and asked(gone["fail_on"][0]).endswith(": nothing was measured after")
        new = judged(runs(without), runs(BASE), change)
        assert new["exit_code"] == 0 and new["fail_on"][0]["reason"] == "nothing was measured before"


def test_a_change_that_was_asked_for_is_told_with_its_unit_and_a_reason() -> None:
    ratio = judged(runs(document(failing=0.1)), runs(document(failing=0.5)), "CALL[join]: fail_ratio +10%")
    told = asked(ratio["fail_on"][0])
    before, after = (stat(ratio, "CALL", "join", "fail_ratio")[side] for side in ("before", "after"))
    assert told.startswith(f"{100 * before:.1f} to {100 * after:.1f} %, +"), "not a ratio of 10 to 50"
    slightly = judged(runs(BASE), runs(document(1.01)), "CALL[join]: p50 +0%")
    assert slightly["fail_on"][0]["reason"] == "less than 2% is no change"
    assert asked(slightly["fail_on"][0]).endswith(" %: less than 2% is no change")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (0.000_25, "0.00025"),
        (0.000_05, "0.00005"),
        (0.05, "0.05"),
        (0.1, "0.10"),
        (9.5, "9.50"),
        (1234.5, "1,234"),
    ],
)
def test_little_is_not_shown_as_nothing(value: float, text: str) -> None:
    assert shown({"stat": "timeout", "before": value, "after": None}, "before") == text


def test_rates_that_changed_are_told_first_too() -> None:
    """Two rows, and what the ledger counts of them: emits and acks."""
    fewer = judged(runs(BASE), runs(document(calls=50)))
    assert stat(fewer, "CALL", "message", "rate")["verdict"] == "real"
    for text in (terminal(fewer), markdown(fewer)):
        assert "sioload compare: 4 rates changed; exit code 0" in text
    slower = terminal(judged(runs(BASE), runs(document(1.6, calls=50))))
    assert re.search("sioload compare: [0-9]+ worse, 0 better, 4 rates changed; exit code 0", slower)


def test_a_row_that_is_new_has_nothing_before() -> None:
    other = copy.deepcopy(SLOW)
    other["events"][-1]["name"] = "new"
    found = judged(runs(SLOW), runs(other), f"{other['events'][-1]['type']}[new]: count +5%")
    assert found["fail_on"][0]["before"] == 0
    old = other["events"][-1]["type"]
    assert stat(found, old, "new", "rate")["change"] is None and "from 0" in terminal(found)


def test_schema_1_is_compared_without_significance() -> None:
    old = of_schema_1(copy.deepcopy(BASE))
    found = judged(runs(old), runs(SLOW), "CALL[message]: p99 +10%")
    assert "0.json has no blocks of time (schema 1)" in found["notes"][0]
    assert stat(found, "CALL", "message", "p99")["verdict"] == "not judged"
    assert stat(found, "CALL", "message", "p99")["before"] > 0
    assert found["fail_on"][0]["reason"] == "not judged" and found["exit_code"] == 0
    assert found["comparable"] and "nothing could be told from noise" in terminal(found)
    with pytest.raises(UsageError, match="no histograms to add up"):
        judged(runs(old), runs(SLOW), "CALL: p99 +10%")


def test_rows_with_blocks_whose_times_are_not_told_are_compared_without_significance() -> None:
    edited = copy.deepcopy(BASE)
    del edited["blocks"]
    found = judged(runs(edited), runs(SLOW), "CALL[message]: rate +10%")
    assert "0.json has no blocks of time (schema 2)" in found["notes"][0]
    assert stat(found, "CALL", "message", "p99")["verdict"] == "not judged" and found["exit_code"] == 0
    assert "<html" in page(found, runs(edited), runs(SLOW))
    edited["blocks"] = {"seconds": 1}
    with pytest.raises(UsageError, match="no whole report"):
        runs(edited)


def test_a_report_of_an_older_version_lacks_what_was_not_told_then() -> None:
    old = of_schema_1(copy.deepcopy(BASE))
    del old["settings"], old["delivery"][0]["behind"], old["audience"]
    found = judged(runs(old), runs(BASE), "PUSH[news]: behind +10%", "PUSH[news]: lost +10%")
    behind, lost = found["fail_on"]
    assert behind["before"] == behind["after"] == 0 and lost["before"] == lost["after"] > 0
    assert found["comparable"], found["reasons"]


def test_a_ledger_that_does_not_balance_is_compared() -> None:
    twice = copy.deepcopy(BASE)
    twice["ledger"] |= {"acked": twice["ledger"]["acked"] + 30, "open": -30}
    ledger = {each["stat"]: each for each in judged(runs(BASE), runs(twice))["ledger"]}
    assert (ledger["open"]["before"], ledger["open"]["after"]) == (0, -1)


def test_texts_fit_their_places_and_names_are_shown_as_they_are() -> None:
    hostile = copy.deepcopy(SLOW)
    hostile["events"][1]["name"] = "<b>|`x`\x07" + "long " * 30
    found = judged(runs(BASE), runs(hostile), "CALL[message]: p99 +10%")
    assert max(map(len, terminal(found).splitlines()[:-1])) <= 80
    text = markdown(found)
    assert "<b>" not in text and "### sioload compare: " in text and "**failed**" in text
    with pytest.raises(CheckError):
        parse_change("p99 +10%")


@pytest.mark.parametrize(
    ("text", "limit", "relative"),
    [
        ("CALL[message]: p99 +10%", 0.1, True),
        ("CALL: p99 + 20ms", 0.02, False),
        ("connections: opened -5", 5.0, False),
        ("FANOUT: missed +1", 1.0, False),
        ("FANOUT: reach -1%", None, True),
        ("FANOUT: spread_p99 +10%", None, True),
        ("run: duration +10%", None, True),
        ("drill: not_back +1", None, False),
    ],
)
def test_a_change_is_a_share_or_a_difference_of_what_is_compared(
    text: str, limit: float | None, relative: bool
) -> None:
    if limit is None:
        with pytest.raises(CheckError, match="compared are counts and times"):
            parse_change(text)
    else:
        check, share = parse_change(text)
        assert (check.limit, share) == (limit, relative)


def test_files_are_written_and_exit_code_3_is_for_what_fail_on_asks(tmp_path: Path, capsys: Any) -> None:
    for name, text in (("a", TEXT), ("b", json.dumps(SLOW))):
        for file in (f"{name}.json", f"{name}2.json"):
            (tmp_path / file).write_text(text)
    files = {kind: str(tmp_path / "new" / "folder" / f"out.{kind}") for kind in ("markdown", "json", "html")}
    outputs = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    a2, b2 = str(tmp_path / "a2.json"), str(tmp_path / "b2.json")
    assert main(["compare", a, a2, "--with", b, b2, *outputs, "--fail-on", "CALL: p99 +10%"]) == 3
    assert main(["compare", a, "--with", b]) == 0
    assert "1 of 1 --fail-on failed; exit code 3" in capsys.readouterr().out
    written = json.loads(Path(files["json"]).read_text())
    assert written["exit_code"] == 3 and [run["file"] for run in written["before"]] == [a, a2]
    page, comment = (Path(files[kind]).read_text() for kind in ("html", "markdown"))
    assert "sioload-data" in page and "<td>p99 ms</td>" in page and "http-equiv" in page
    assert comment.startswith("### sioload compare")
    for what in (*written["ledger"], *written["connections"]):
        assert f"<td>{what['stat']} /s</td>" in page and f"| {what['stat']} /s | " in comment, what


def test_what_a_terminal_cannot_show_is_no_traceback(tmp_path: Path) -> None:
    """A file's name in an older encoding, and rows in letters that the terminal's encoding hasn't got."""
    found = copy.deepcopy(BASE)
    found["events"][0]["name"] = "象"
    path, page = str(tmp_path / "caf\udce9.json"), tmp_path / "compared.json"
    Path(path).write_text(json.dumps(found))
    done = serverkit.run_sioload(["compare", path, "--with", path, "--json", str(page)],
                                 env={"PYTHONIOENCODING": "latin-1"})  # fmt: skip
    assert done.code == 0 and not done.err, done.text
    assert "caf?.json" in done.out and f"{found['events'][0]['type']} ?" in done.out
    assert json.loads(page.read_text())["before"][0]["file"].endswith("caf?.json")
