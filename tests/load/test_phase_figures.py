"""Figures per phase of real runs: alone, with two processes, and as a master and two workers."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.request
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import serverkit

from sioload.errors import CheckError
from sioload.report.checks import parse
from sioload.report.course import check_parts
from sioload.report.events import unpacked

PLAN = "warmup: 0..12 users over 2s; peak: 30 users for 3s; rest: 4 users for 2s"
BOUNDARIES = [2.0, 5.0]
CHECKS = [
    "CALL: p99.95 < 5s in peak after 500ms",
    "ledger: emits > 0 in warmup",
    "DISCONNECT: count > 0 in rest",
    "CALL: count > 0 after 1s",
]


class Watched:
    """The target's own counts, read all the time."""

    def __init__(self, server: serverkit.Server) -> None:
        self.server = server
        self.seen: list[tuple[float, float, int]] = []  # when it was asked, when it answered, acks by then
        self._on = True
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        self._thread.join()

    def _read(self) -> None:
        while self._on:
            asked, counts = time.time(), self.server.counts()
            acks = sum(sum(by.values()) for by in counts["acks"].values())
            self.seen.append((asked, time.time(), acks))
            time.sleep(0.01)

    def at(self, moment: float, slack: float) -> tuple[int, int]:
        """The least and the most acks that the server may have sent by then."""
        before = [acks for _, answered, acks in self.seen if answered <= moment - slack]
        after = [acks for asked, _, acks in self.seen if asked >= moment + slack]
        return (before or [0])[-1], (after or [self.seen[-1][2]])[0]


def launch(folder: Path, url: str, how: str, plan: list[str]) -> tuple[serverkit.Run, dict[str, Any]]:
    script = serverkit.ROOT / "locustfiles" / "chat.py"
    report = folder / "report.json"
    port = str(serverkit.free_port())
    checks = [part for check in CHECKS for part in ("--sio-check", check)] if "users" in plan[1] else []
    outputs = [
        "--sio-report",
        report,
        "--sio-junit",
        folder / "junit.xml",
        "--sio-html",
        folder / "report.html",
    ]
    where = ["--master-bind-port", port, "--master-bind-host", "127.0.0.1"]
    args = ["-f", script, "--host", url, "--headless", *plan, *checks, *outputs]
    if how == "alone":
        done = serverkit.run_locust(args, 90, cwd=folder)
    elif how == "two processes":
        done = serverkit.run_locust([*args, "--processes", "2"], 90, cwd=folder)
    else:
        with contextlib.ExitStack() as stack:
            worker = ["-f", script, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
            for _ in range(2):
                stack.enter_context(serverkit.Process(serverkit.locust(worker), cwd=folder))
            args += ["--master", "--expect-workers", "2", *where]
            done = serverkit.run_locust(args, 90, cwd=folder)
    return done, json.loads(report.read_text()) if report.exists() else {}


def added_up(report: dict[str, Any]) -> None:
    """Counts, histograms and ledgers of the phases add up to the run's."""
    phases = report["phases"]
    for event in report["events"]:
        parts = [
            part
            for phase in phases
            for part in phase["events"]
            if (part["type"], part["name"]) == (event["type"], event["name"])
        ]
        for count in ("count", "failures", "bytes", "skipped", "unfinished"):
            assert event[count] == sum(part[count] for part in parts), (event["type"], event["name"], count)
        buckets: Counter[int] = Counter()
        for part in parts:
            buckets.update(unpacked(part["histogram"]))
        assert buckets == unpacked(event["histogram"])
    for outcome, total in report["ledger"].items():
        if outcome != "open":
            assert total == sum(phase["ledger"][outcome] for phase in phases)
    for one, other in pairwise(phases):
        assert one["ledger"]["open_at_end"] == other["ledger"]["open_at_start"]
        assert one["end_s"] == other["start_s"]
    assert phases[-1]["ledger"]["open_at_end"] == report["ledger"]["open"] == 0
    assert sum(phase["connections"]["opened"] for phase in phases) == report["connections"]["opened"]
    sent = sum(phase["bytes"]["sent"] for phase in phases)
    assert sent == report["bytes"]["sent"]


@pytest.mark.parametrize("how", ["alone", "two processes", "master and workers"])
def test_phases_of_users_add_up_and_their_boundaries_are_the_servers_too(
    how: str, tmp_path: Path, target: serverkit.Server
) -> None:
    with Watched(target) as watched:
        done, report = launch(tmp_path, target.url, how, ["--sio-phases", PLAN])
    assert done.code in (0, 4), done.text  # 4: the machine of the tests was too busy
    assert [check["ok"] for check in report["checks"]] == [True] * len(CHECKS), done.text
    phases = report["phases"]
    assert [phase["name"] for phase in phases] == ["warmup", "peak", "rest"]
    assert [round(phase["end_s"] - phase["start_s"], 3) for phase in phases[1:]] == [3, 2]
    assert phases[0]["users"]["start"] == 0 and phases[1]["users"]["peak"] == 30
    assert (phases[1]["users"]["end"], phases[2]["users"]["end"]) == (30, 4)
    added_up(report)
    cuts = [abs(phase["cut_ms"]) for phase in phases[1:]]
    assert max(cuts) < 50 or report["health"]["machine_lag_p99_ms"] > 20, done.text
    acked = 0
    for phase, following in pairwise(phases):
        acked += phase["ledger"]["acked"]
        latest = max(part["latency_ms"]["max"] for part in phase["events"] if part["type"] == "CALL") / 1000
        low, high = watched.at(following["began"], 0.05 + latest)
        assert low <= acked <= high, "the server had sent as many acks at the boundary"
    assert report["ledger"]["acked"] == watched.seen[-1][2]
    for number, name in enumerate(("warmup", "peak", "rest"), 1):
        assert f"sioload: phase {number} of 3: {name}: " in done.err
    assert "\nphase " in done.out and "\npeak " in done.out
    suite = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    told = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert "30 users at the peak" in str(told["phase peak"])
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Phases</h2>" in page and '"phases":[{"name":"warmup","start_s":0' in page


@pytest.mark.parametrize("how", ["alone", "master and workers"])
def test_phases_of_sessions_begin_as_many_as_the_plan_says(
    how: str, tmp_path: Path, target: serverkit.Server
) -> None:
    plan = "0..16/s over 2s; pause: 0/s for 1s; burst: 20/s for 1s"
    done, report = launch(tmp_path, target.url, how, ["--sio-phases", plan, "--sio-session-length", "300ms"])
    assert done.code in (0, 4), done.text
    begun = [phase["users"]["begun"] for phase in report["phases"]]
    assert begun == [pytest.approx(16, abs=1), pytest.approx(0, abs=1), pytest.approx(20, abs=1)], done.text
    added_up(report)


def test_a_check_aborts_in_its_phase_and_one_on_a_phase_never_reached_says_so(
    tmp_path: Path, target: serverkit.Server
) -> None:
    plan = ["--sio-phases", "a: 3 users for 2s; b: 5 users for 30s; c: 1 users for 5s"]
    checks = ["CALL: count == 0 in b abort after 1s", "CALL: p99 < 9s in c after 1s"]
    checks.append("CALL: count > 0 after 1m")
    args = ["-f", serverkit.ROOT / "locustfiles" / "echo.py", "--host", target.url, "--headless", *plan]
    args += [part for check in checks for part in ("--sio-check", check)]
    done = serverkit.run_locust([*args, "--sio-report", tmp_path / "report.json"], 60)
    assert done.code in (3, 4), done.text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["duration_s"] < 15
    aborted, *never = [check["reason"] for check in report["checks"]]
    assert " in the last " in aborted and aborted.endswith(", at 5 users"), aborted
    assert "sioload: stopping at 5 users, check failed: CALL: count == 0 in b" in done.err
    assert never == [
        "the run ended before 1s of the phase 'c' had passed",
        "the run ended before 1m had passed",
    ]
    assert [phase["name"] for phase in report["phases"]] == ["a", "b"]
    added_up(report)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("CALL: p99 < 1s in peek", "unknown phase 'peek' (nearest: 'peak')"),
        ("CALL: p99 < 1s in peak after 3s", "after 3s nothing is left of the phase 'peak', which lasts 3s"),
        ("CALL: p99 < 1s in", "write 'in PHASE'"),
        ("CALL: p99 < 1s after", "write 'after DURATION'"),
        ("CALL: p99 < 1s after soon", "'soon' is no time"),
        ("CALL: p99 < 1s in peak in rest", "'in' stands twice"),
        ("ledger: open == 0 in peak", "'open' is of the whole run"),
        ("run: workers_lost == 0 after 2s", "'workers_lost' is of the whole run"),
        ("CALL: p100 < 1s", "unknown stat 'p100'"),
        ("CALL: p0 < 1s", "unknown stat 'p0'"),
        ("CALL: p99. < 1s", "unknown stat 'p99.'"),
    ],
)
def test_a_check_on_a_part_that_there_is_not_is_one_line_before_any_load(check: str, said: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_parts([parse(check)], {"warmup": 2.0, "peak": 3.0, "rest": 2.0})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_check_on_a_phase_of_a_run_without_phases_ends_it_before_any_load(tmp_path: Path) -> None:
    script = serverkit.ROOT / "locustfiles" / "echo.py"
    args = ["-f", script, "--host", "http://127.0.0.1:9", "--headless", "-t", "1s"]
    done = serverkit.run_locust([*args, "--sio-check", "CALL: p99 < 1s in peak"], 60)
    assert done.code == 2, done.text
    assert "unknown phase 'peak' (the run has none: give --sio-phases)" in done.err
    assert "Traceback" not in done.err


def test_the_web_ui_and_the_metrics_show_the_phase_that_is_on(target: serverkit.Server) -> None:
    port, metrics = serverkit.free_port(), serverkit.free_port()
    plan = ["--sio-phases", "first: 2 users for 2s; second: 4 users for 5m"]
    script = serverkit.ROOT / "locustfiles" / "echo.py"
    args = ["-f", script, "--host", target.url, "--web-port", str(port), "--autostart", *plan]
    web = f"http://127.0.0.1:{port}"
    with serverkit.Process(serverkit.locust([*args, "--sio-metrics-port", str(metrics)])) as process:
        process.wait_for("phase 2 of 2: second: 4 users for 5m", 60)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            rows = serverkit.http_json(f"{web}/stats/requests")["extended_stats"][0]["data"]
            told = {row["what"]: row for row in rows if row["kind"] == "phase"}
            if told.get("second", {}).get("count"):
                break
            time.sleep(0.2)
        assert "s left" in told["second"]["notes"] and told["first"]["count"], told
        page = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
        assert re.findall(r"^sioload_phase.*", page, re.MULTILINE) == ['sioload_phase{phase="second"} 1.0']
        data = serverkit.http_json(f"{web}/sioload/data")
        assert [phase["name"] for phase in data["phases"]] == ["first", "second"]
        assert "<h2>Phases</h2>" in data["fragment"] and "<dt>Phase</dt><dd>second</dd>" in data["fragment"]
        form = urllib.request.urlopen(f"{web}/", timeout=10).read().decode()
        assert '"hide_common_options": true' in form, "there is no number of users that could be chosen"
        urllib.request.urlopen(f"{web}/stats/reset", data=b"", timeout=10).read()
        time.sleep(3)  # until a report is made that is newer than the reset
        report = serverkit.http_json(f"{web}/sioload/report.json")
        assert [phase["name"] for phase in report["phases"]] == ["second"], "what was before is forgotten"
        assert report["phases"][0]["ledger"]["emits"] == report["ledger"]["emits"] > 0
