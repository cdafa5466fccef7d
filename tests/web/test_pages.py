"""The tab and the chart page over HTTP: what they tell equals the report, and is escaped."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serverkit
from hdrh.histogram import HdrHistogram

LOOKED_AT = Path(__file__).with_name("looked_at.py")
CHECKS = ("--sio-check", "CALL[echo]: p99 < 10s", "--sio-check", "ledger: acked < 5 warn")
#: What the scenario's names look like when they aren't escaped.
LIVE_MARKUP = ("<script>boom", "<img src=x")
ADDRESSES = ("/sioload/", "/sioload/data", "/sioload/report.json", "/sioload/events.csv",
             "/sioload/sioload.hlog", "/sioload/report.html", "/sioload/static/charts.js")  # fmt: skip


def counts(report: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(e["type"], e["name"]): (e["count"], e["failures"]) for e in report["events"]}


def all_samples_are_drawn(data: dict[str, Any]) -> None:
    totals = {str(row["row"]): row["count"] for row in data["rows"]}
    for number, columns in data["series"].items():
        pairs = zip(columns["rate"], data["columns"]["seconds"], strict=True)
        total = sum(rate * seconds for rate, seconds in pairs)
        assert total == pytest.approx(totals[number], rel=0.02, abs=1), "the history holds every sample"


def drawn(run: Any) -> dict[str, Any]:
    """What the charts of its HTML report draw."""
    found = re.search(
        r'id="sioload-data">(.*?)</script>', (run.folder / "report.html").read_text(), re.DOTALL
    )
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_a_finished_run_is_shown_as_it_is_reported(shown: Callable[..., Any]) -> None:
    run = shown("--autostart", "-t", "4s", *CHECKS)
    assert run.counting()["CALL", "echo"][0] > 0, "rows are shown while the run goes on"
    run.until("stopped")

    rows, report = run.tab(), run.json("/sioload/report.json")
    assert run.tab_counts() == counts(report)
    shown_times = {(row["kind"], row["what"]): row for row in rows}
    for event in report["events"]:
        times, row = event["latency_ms"], shown_times[event["type"], event["name"]]
        for key, stat in (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")):
            assert row[key] == (round(times[stat], 2) if times else ""), (event["name"], stat)
    assert {row["kind"] for row in rows} >= {
        "check",
        "connections",
        "ledger",
        "delivery",
        "audience",
        "generator",
    }
    notes = {row["what"]: row["notes"] for row in rows if row["kind"] == "check"}
    assert notes["CALL[echo]: p99 < 10s"].startswith("ok")
    assert notes["ledger: acked < 5 warn"].startswith("warning")
    opened = {row["what"]: row["count"] for row in rows if row["kind"] == "connections"}
    assert (opened["opened"], opened["upgraded"], opened["closed"]) == (10, 10, 10)
    refused = next(row for row in rows if row["what"] == "refused")
    assert refused["failures"] == refused["count"] > 0 and "× " in refused["notes"]

    (heard,), (told,) = report["audience"], [row for row in rows if row["kind"] == "audience"]
    assert (told["count"], told["failures"]) == (heard["messages"], heard["missed"])
    assert heard["missed"] > 0 and f"missed {heard['worst'][0]['id']} in <img" in told["notes"]

    table = {
        (row["type"], row["name"]): row for row in csv.DictReader(io.StringIO(run.get("/sioload/events.csv")))
    }
    assert len(table) == len(report["events"])
    assert ("CALL", '\'=1+1&"quoted"') in table, "no spreadsheet takes a name for a formula"
    for event in report["events"]:
        row = table.get((event["type"], event["name"]))
        if row is not None:
            assert (int(row["count"]), int(row["failures"])) == (event["count"], event["failures"])
            assert int(row["unfinished"]) == event["unfinished"]
            assert row["p99_ms"] == ("" if event["latency_ms"] is None else str(event["latency_ms"]["p99"]))
    tagged = dict(
        line[4:].split(",", 1) for line in run.get("/sioload/sioload.hlog").splitlines() if "Tag=" in line
    )
    echo = HdrHistogram.decode(tagged["CALL:echo"].rsplit(",", 1)[1])
    assert echo.get_total_count() == counts(report)["CALL", "echo"][0]

    data = run.json("/sioload/data?rows=0,1,99999")
    assert {(row["type"], row["name"]): (row["count"], row["failures"]) for row in data["rows"]} == counts(
        report
    )
    assert set(data["series"]) == {"0", "1"}
    all_samples_are_drawn(data)
    assert max(data["columns"]["users"]) == 10
    assert max(data["columns"]["connections"]["websocket"]) == 10

    assert table["WAIT", "never"]["unfinished"] == "10"
    assert shown_times["WAIT", "never"]["notes"] == "10 unfinished"

    final = run.end()
    assert counts(final) == counts(report)
    written = (run.folder / "report.html").read_text()
    for page in (data["fragment"], written):
        assert "10 unfinished: ended with their user" in page
        assert "&lt;script&gt;boom()" in page
        assert not any(markup in page for markup in LIVE_MARKUP)
        assert "canary" not in page and "secret" not in page
    assert "http://" not in written.replace(final["host"], "").replace("http://www.w3.org", "")


def test_a_check_on_what_has_not_begun_has_not_failed(shown: Callable[..., Any]) -> None:
    run = shown("--sio-check", "CALL: p99 < 10s", "--sio-check", "ledger: open == 0")
    notes = {row["what"]: row["notes"] for row in run.tab() if row["kind"] == "check"}
    assert notes["CALL: p99 < 10s"] == "not yet: no samples, where 1 is needed"
    assert notes["ledger: open == 0"] == "ok: 0"
    page = run.get("/sioload/")
    assert '<span class="chip ">not yet</span>' in page
    assert "Exit code" not in page and "Exit code" not in run.json("/sioload/data")["fragment"]


def test_a_check_that_is_no_unicode_spoils_no_page(shown: Callable[..., Any]) -> None:
    """A byte of Latin 1, as an older terminal sends it."""
    run = shown("--sio-check", "CALL[caf\udce9]: count == 0 min_samples 0", "--sio-metrics-port", "0")
    (check,) = run.json("/sioload/report.json")["checks"]
    assert check["check"] == "CALL[caf?]: count == 0 min_samples 0"
    assert "caf?" in run.get("/sioload/") and "caf?" in run.json("/sioload/data")["fragment"]
    assert [row["what"] for row in run.tab() if row["kind"] == "check"] == [check["check"]]
    port = run.process.wait_for(r"metrics on http://127\.0\.0\.1:(\d+)/metrics", 20)[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"caf?" in answer.read()


def test_the_file_has_the_whole_run_whenever_somebody_looked_at_it_last(shown: Callable[..., Any]) -> None:
    run = shown("--autostart")
    run.until_ended(lambda end: end > 1)
    time.sleep(3)
    run.end()
    data = drawn(run)
    assert len(data["series"]) == len(data["rows"]) > 5
    all_samples_are_drawn(data)


def test_the_file_ends_with_the_run_however_long_the_web_ui_stays(shown: Callable[..., Any]) -> None:
    run = shown("--autostart", "-t", "2s")
    run.until("stopped")
    time.sleep(2)
    ends = run.json("/sioload/data")["columns"]["end"]
    run.end()
    data = drawn(run)
    assert data["columns"]["end"] == ends
    all_samples_are_drawn(data)


def test_every_address_is_behind_the_login_and_below_the_base_path(shown: Callable[..., Any]) -> None:
    run = shown("--web-login", "--autostart", "-t", "60s", base="/load", env={"LOGIN": "1"})
    for path in (*ADDRESSES, "/stats/requests"):
        status, headers, body = run.ask(path)
        assert status == 302 and headers["Location"].startswith("/load/login"), path
        assert b"echo" not in body
    run.ask("/enter", {"username": "ann", "password": "wrong"})
    assert run.ask("/sioload/")[0] == 302
    run.ask("/enter", {"username": "ann", "password": "right"})
    for path in ADDRESSES:
        assert run.ask(path)[0] == 200, path
    assert run.counting()
    status, headers, page = run.ask("/sioload/")
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert b"<script>" not in page and b'"/' not in page, (
        "no inline script, no address that forgets the base path"
    )
    for path in ("/sioload/static/../__init__.py", "/sioload/static/nothing.js", "/sioload/nothing"):
        assert run.ask(path)[0] == 404, path
    assert run.ask("/sioload/data?rows=1;2")[0] == 400
    assert run.ask("/sioload/data?rows=" + ",".join(map(str, range(500))))[0] == 200


def test_users_go_on_while_pages_are_served_and_tests_and_resets_begin_a_new_history(
    shown: Callable[..., Any],
) -> None:
    run = shown(env={"NAMES": "400", "TURNS": "1"})
    start = {"user_count": 10, "spawn_rate": 10}
    run.ask("/swarm", start)
    run.until_ended(lambda end: end > 2.5)
    deadline = time.monotonic() + 30
    while (rows := len(run.json("/sioload/report.json")["events"])) < 150:
        assert time.monotonic() < deadline, f"only {rows} rows"
        time.sleep(0.3)
    wanted = ",".join(map(str, range(40)))
    for path in (*ADDRESSES[:-1], f"/sioload/data?rows={wanted}"):
        for _ in range(2):  # the second time, what is shown was made already
            status, headers, _ = run.ask(path)
            assert status == 200 and int(headers["X-Turns"]) >= rows // 100, f"{path}: {headers['X-Turns']}"
    report = run.json("/sioload/report.json")
    assert report["final"] is False and not any("ledger" in reason for reason in report["untrusted"])
    run.ask("/stats/reset", {})
    run.until_ended(lambda end: 0 < end < 2)
    run.until_ended(lambda end: end > 2.5)
    assert "<small>of 10 sessions</small>" in run.get("/sioload/"), "they were opened before the reset"
    run.ask("/stop", {})
    run.ask("/swarm", start)
    run.until_ended(lambda end: 0 < end < 2)


def test_users_get_their_turn_after_every_hundred_rows_or_points() -> None:
    done = serverkit.run([sys.executable, LOOKED_AT], 120)
    assert done.code == 0, done.text
    got = json.loads(done.out)
    assert got.pop("many rows") >= 10, "a thousand rows are looked through"
    rows, points = got.pop("rows"), got.pop("points")
    assert rows + points > 300
    assert {page: turns for page, turns in got.items() if turns < (rows + points) // 100} == {}


STOPPED_AT_ONCE = """
from types import SimpleNamespace
import locust
from sioload.measure.recorder import Recorder
from sioload.report.document import report
from sioload.report.merge import Swarm
from sioload.web.live import Live

recorder, swarm = Recorder(), Swarm()
judge = SimpleNamespace(
    started=1.0, running=False, duration=0.1, figures=lambda: swarm.take_local(recorder), phase=lambda: None,
    report=lambda figures: report(figures, version="1", started=2.0, duration=0.1, host="", peak_users=1),
)
part = SimpleNamespace(judge=judge, settled=True, reports={})
live = Live(SimpleNamespace(runner=SimpleNamespace(state="stopped", user_count=0)), part)
judge.started, part.settled = 2.0, False  # it began and was stopped since the last look; an emit is open
recorder.ledger.emits += 1
live.watch()
found = live.look()
assert not found.final and not found.report["untrusted"], found.report["untrusted"]
recorder.ledger.end("acked")
recorder.row("CALL", "echo").add(0.1)
part.settled = True
live.watch()
found = live.look()
assert found.final and [point.cells[0].count for point in found.points] == [1], found
"""


def test_a_test_that_is_stopped_at_once_is_over_when_its_drain_is() -> None:
    done = serverkit.run([sys.executable, "-c", STOPPED_AT_ONCE], 60)
    assert done.code == 0, done.text


def test_users_who_are_still_to_come_are_not_missed(shown: Callable[..., Any]) -> None:
    run = shown("-u", "100", "-r", "1", "--autostart", "--exit-code-on-error", "0")
    deadline = time.monotonic() + 20
    while "of 100 asked for" not in (page := run.get("/sioload/")):
        assert time.monotonic() < deadline, str(run.process)
        time.sleep(0.2)
    assert "users asked for" not in page
    assert not [row for row in run.tab() if row["kind"] == "users"]
    run.ask("/stop", {})
    run.until("stopped")
    (told,) = [row["notes"] for row in run.tab() if row["kind"] == "users"]
    assert told.startswith("100 users asked for") and told in run.get("/sioload/")


def test_charts_are_as_fine_when_the_end_takes_its_time(target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "from locust import constant, task\n"
        "from sioload import SocketIOUser\n"
        "class Slow(SocketIOUser):\n"
        "    wait_time = constant(0)\n"
        "    @task\n"
        "    def wait(self):\n"
        "        self.sio.call('delay', 6)\n"
    )
    args = ["-f", "slow.py", "--host", target.url, "--headless", "-u", "1", "-t", "3s", "--only-summary",
            "--sio-drain", "9s", "--sio-html", "report.html"]  # fmt: skip
    done = serverkit.run_locust(args, 60, cwd=tmp_path)
    assert done.code == 0, done.text
    columns = drawn(SimpleNamespace(folder=tmp_path))["columns"]
    assert len(columns["end"]) > 3, columns


def test_users_who_have_no_server_in_common_leave_no_gap(target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "each.py").write_text(
        "from locust import constant, task\n"
        "from sioload import SocketIOUser\n"
        "class Each(SocketIOUser):\n"
        "    wait_time = constant(0.1)\n"
        "    def on_start(self):\n"
        f"        self.sio.connect({target.url!r})\n"
        "    @task\n"
        "    def echo(self):\n"
        "        self.sio.call('echo', 1)\n"
    )
    args = ["-f", "each.py", "--headless", "-u", "2", "-r", "2", "-t", "2s", "--only-summary",
            "--sio-html", "each.html"]  # fmt: skip
    env = {"GITHUB_STEP_SUMMARY": str(tmp_path / "each.md")}
    done = serverkit.run_locust(args, 60, cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    assert re.search(r"^sioload: 2 users, [\d.]+ s$", done.out, re.MULTILINE), done.text
    assert re.search(r"^2 users, [\d.]+ s$", (tmp_path / "each.md").read_text(), re.MULTILINE)
    assert re.search(r"<title>Socket\.IO load test · 20\S+Z</title>", (tmp_path / "each.html").read_text())
