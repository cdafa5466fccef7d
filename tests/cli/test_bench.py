"""`sioload bench` against real servers: what it reports is what the server counted."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import serverkit

TRANSPORTS = ("polling", "websocket", "polling,websocket")
QUICK = (("sio4", "websocket"), ("sio4", "polling,websocket"), ("sio3", "polling"), ("target", "websocket"))
SHORT = ("--users", "20", "--run-time", "2s", "--option", "connect_jitter=0")


def bench(
    url: str, tmp_path: Path, *args: str, run: tuple[str, ...] = SHORT
) -> tuple[serverkit.Run, dict[str, Any]]:
    """A finished bench and its report; sure that its figures are whole."""
    path = tmp_path / "report.json"
    done = serverkit.run_sioload(["bench", url, *run, "--sio-report", path, *args], cwd=tmp_path)
    assert path.exists(), done.text
    report = json.loads(path.read_text())
    ledger = report["ledger"]
    assert ledger["open"] == 0, done.text
    assert ledger["emits"] == sum(n for key, n in ledger.items() if key not in ("emits", "open", "late_acks"))
    assert report["exit_code"] == done.code, done.text
    return done, report


def row(report: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """One row of a report."""
    return next(event for event in report["events"] if (event["type"], event["name"]) == (kind, name))


@pytest.mark.parametrize(
    ("lib", "transports"),
    [
        pytest.param(lib, transports, marks=() if (lib, transports) in QUICK else pytest.mark.verify)
        for lib in ("sio4", "sio3", "target")
        for transports in TRANSPORTS
    ],
)
def test_every_ack_counts_once_on_both_sides(servers, tmp_path, lib, transports):
    server = servers(lib)
    server.reset()
    rate = "max" if transports == "websocket" else "20"
    args = ("--emit", "echo", "--data", '{"a":1}', "--ack", "--rate", rate, "--transports", transports)
    done, report = bench(server.url, tmp_path, *args)
    assert done.code == 0, done.text
    counted = server.counts()
    emits = report["ledger"]["emits"]
    assert emits > 100
    assert (
        report["ledger"]["acked"] == emits == counted["received"]["/"]["echo"] == counted["acks"]["/"]["echo"]
    )
    assert row(report, "CALL", "echo")["count"] == emits
    assert row(report, "CONNECT", "/")["count"] == counted["connects"]["/"] == 20
    assert report["connections"]["upgraded"] == (20 if transports == "polling,websocket" else 0)
    assert f"{emits} emits: {emits} acked" in done.out


def test_emits_without_ack_carry_no_time(node4, tmp_path):
    done, report = bench(node4.url, tmp_path, "--emit", "noargs", "--rate", "10")
    assert done.code == 0, done.text
    emits = row(report, "EMIT", "noargs")
    assert emits["latency_ms"] is None
    assert emits["count"] == report["ledger"]["sent"] == node4.counts()["received"]["/"]["noargs"] > 0


def test_an_event_may_be_the_answer(node4, tmp_path):
    trace = tmp_path / "trace.jsonl"
    followed = ("--sio-trace", str(trace), "--sio-trace-users", "2")
    args = ("--emit", "echo", "--data", "null", "--reply", "echo", "--rate", "max")
    done, report = bench(node4.url, tmp_path, *args, *followed)
    assert done.code == 0, done.text
    assert {json.loads(line)["user"] for line in trace.read_text().splitlines()} == {1, 2}
    replies = row(report, "REPLY", "echo>echo")
    assert replies["count"] == report["ledger"]["acked"] == node4.counts()["sent"]["/"]["echo"] > 0
    assert {event["type"] for event in report["events"]}.isdisjoint({"EMIT", "CALL", "RECV"})


def test_data_given_twice_is_two_arguments(node4, tmp_path):
    args = ["bench", node4.url, "--users", "2", "--emit", "message", "--data", '{"b":[2]}', "--data", '"x"']
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path):
        heard = serverkit.Oracle("client4").run(node4.url, [["wait", "message"]])
    assert heard == [["message", [{"b": [2]}, "x"]]]


def test_a_namespace_is_joined_alone_with_its_auth(node4, tmp_path):
    args = (
        "--emit",
        "echo",
        "--ack",
        "--namespace",
        "/private",
        "--auth",
        '{"token":"secret"}',
        "--header",
        "X-Run: seven",
    )
    done, report = bench(node4.url, tmp_path, *args)
    assert done.code == 0, done.text
    counted = node4.counts()
    assert counted["connects"] == {"/": 0, "/chat": 0, "/private": 20}
    assert row(report, "CALL", "/private echo")["count"] == counted["received"]["/private"]["echo"]
    assert all(request["headers"].get("x-run") == "seven" for request in node4.requests()[1:])


def test_a_namespace_is_joined_with_its_query(servers, tmp_path):
    """Of servers before 3.x; it is no part of the name that emits go to."""
    server = servers("sio2")
    server.reset()
    args = ("--emit", "echo", "--ack", "--namespace", "/chat?token=abc")
    done, report = bench(server.url, tmp_path, *args)
    assert done.code == 0, done.text
    assert row(report, "CALL", "/chat echo")["count"] == server.counts()["received"]["/chat"]["echo"] > 0


def test_the_rate_is_each_users_own(node4, tmp_path):
    run = ("--users", "5", "--spawn-rate", "5", "--run-time", "3s")
    done, report = bench(node4.url, tmp_path, "--emit", "echo", "--ack", "--rate", "4", run=run)
    assert done.code == 0, done.text
    assert 5 < row(report, "CALL", "echo")["count"] <= 5 * (4 * 3 + 1)


def test_a_run_that_lasts_its_time_says_nothing_of_its_end(target, tmp_path):
    done, report = bench(target.url, tmp_path, "--emit", "echo")
    assert "ended" not in done.out.splitlines()[1] and "ended_by" not in report, done.out


def test_processes_share_the_users(node4, tmp_path):
    done, report = bench(node4.url, tmp_path, "--emit", "echo", "--ack", "--rate", "20", "--processes", "2")
    assert done.code == 0, done.text
    assert report["workers"] == {"expected": 2, "lost": 0}
    assert node4.counts()["connects"]["/"] == 20
    assert (
        report["ledger"]["acked"] == node4.counts()["received"]["/"]["echo"] == report["ledger"]["emits"] > 0
    )


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.verify)])
def test_a_signal_ends_it_in_order(node4, tmp_path, number):
    report = tmp_path / "report.json"
    args = [
        "bench",
        node4.url,
        "--users",
        "20",
        "--emit",
        "echo",
        "--ack",
        "--rate",
        "max",
        "--run-time",
        "60s",
        "--sio-report",
        report,
        "--sio-junit",
        tmp_path / "junit.xml",
        "--sio-html",
        tmp_path / "report.html",
    ]
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path, fresh=True) as process:
        process.wait_for(r":\d\d  20 users  20 open", 30)
        process.signal(number)
        assert process.wait(20) == 0, str(process)
        told = process.out
    early = f"ended early by {number.name}"
    assert f" s, {early}\n" in told and f'"{early}"' in (tmp_path / "junit.xml").read_text()
    assert f"UTC, {early}<" in (tmp_path / "report.html").read_text()
    ledger = json.loads(report.read_text())["ledger"]
    assert ledger["acked"] == ledger["emits"] == node4.counts()["received"]["/"]["echo"] > 0


def test_sessions_connect_as_they_begin(target, tmp_path):
    """Those of users who come at one instant are spread over a second; these would be over by then."""
    plan = ("--sio-phases", "5/s for 2s", "--sio-session-length", "500ms")
    emit = ("--emit", "echo", "--ack", "--transports", "websocket")
    done, report = bench(target.url, tmp_path, *emit, run=plan)
    assert done.code == 0 and report["phases"][0]["users"]["begun"] == 10, done.text
    assert report["connections"]["opened"] >= 9, done.text


def test_phases_of_the_project_around_are_not_its_own(node4, tmp_path):
    (tmp_path / "locust.conf").write_text("sio-phases = 1..2/s over 1m\nsio-session-length = 30s\n")
    done, report = bench(node4.url, tmp_path, "--emit", "echo", "--ack")
    assert done.code == 0 and report["users"]["peak"] == 20 and report["phases"] == [], done.text


def test_tags_of_the_project_around_are_not_its_own(node4, tmp_path):
    (tmp_path / "locust.conf").write_text("tags = login\n")
    load = ["--users", "2", "--run-time", "2s", "--emit", "echo", "--ack"]
    done = serverkit.run_sioload(["bench", node4.url, *load], 60, cwd=tmp_path)
    assert done.code == 0 and "No tasks" not in done.text, done.text


def test_the_load_of_the_project_around_is_not_that_of_phases(node4, tmp_path):
    (tmp_path / "locust.conf").write_text("users = 7\nrun-time = 1m\n")
    load = ["--sio-phases", "2 users for 2s", "--sio-report", tmp_path / "report.json"]
    done = serverkit.run_sioload(["bench", node4.url, *load, "--emit", "echo", "--ack"], 40, cwd=tmp_path)
    assert done.code == 0, done.text
    assert json.loads((tmp_path / "report.json").read_text())["users"]["asked"] == 2


def test_a_failed_check_is_exit_code_3(node4, tmp_path):
    junit, html = tmp_path / "junit.xml", tmp_path / "report.html"
    files = ("--sio-junit", str(junit), "--sio-html", str(html))
    args = ("--emit", "echo", "--ack", "--sio-check", "CALL[echo]: count < 1", *files)
    done, report = bench(node4.url, tmp_path, *args)
    assert done.code == 3, done.text
    assert [check["ok"] for check in report["checks"]] == [False]
    assert "<failure" in junit.read_text()
    assert "a check failed" in html.read_text()


def test_progress_and_summary_are_all_that_is_printed(node4, tmp_path):
    done, _ = bench(node4.url, tmp_path, "--emit", "echo", "--ack", run=("--run-time", "7s"))
    assert done.code == 0, done.text
    assert [line for line in done.err.splitlines() if "events/s" not in line] == []
    assert "10 users  10 open" in done.err
    assert "Aggregated" not in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines() if not line.startswith("report: ")), done.out


# What goes wrong at run time: one clear line, a failure row, and an exit code that says so.


def told(done: serverkit.Run) -> list[str]:
    """The lines that say what is wrong."""
    return [
        line.partition("sioload bench: ")[2] for line in done.err.splitlines() if "sioload bench: " in line
    ]


def test_nobody_listens_there(tmp_path):
    url = f"http://127.0.0.1:{serverkit.free_port()}"
    done, report = bench(url, tmp_path, "--emit", "echo", "--ack")
    assert done.code == 1, done.text
    see = "(sioload try URL shows each packet)"
    assert told(done) == [f"can't connect to {url}: dial: connection refused {see}"]
    assert row(report, "CONNECT", "/")["failures"] == row(report, "CONNECT", "/")["count"] >= 20
    assert report["ledger"]["emits"] == 0


@pytest.mark.parametrize("attempts", [0, 1])
def test_users_try_to_connect_as_often_as_they_are_told(tmp_path, attempts):
    url = f"http://127.0.0.1:{serverkit.free_port()}"
    told_so = ("--option", f"reconnection_attempts={attempts}", "--option", "reconnection_delay=0.1")
    _, report = bench(url, tmp_path, "--emit", "echo", *told_so)
    assert report["users"]["ended"] == 20, report["users"]
    assert row(report, "CONNECT", "/")["count"] == (1 + attempts) * 20


def test_refused_auth(target, tmp_path):
    done, report = bench(
        target.url, tmp_path, "--emit", "echo", "--ack", "--namespace", "/chat", "--auth", '{"token":"no"}'
    )
    assert done.code == 1, done.text
    assert len(told(done)) == 1 and told(done)[0].startswith(f"can't connect to {target.url}: ")
    assert "/chat refused: not authorized" in told(done)[0]
    assert set(row(report, "CONNECT", "/chat")["errors"]) == {"refused: not authorized"}
    assert row(report, "CONNECT", "/chat")["failures"] == target.counts()["refused"]["/chat"] >= 20


def test_a_server_that_is_no_socketio(tmp_path):
    port = serverkit.free_port()
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with serverkit.Process(argv, cwd=tmp_path) as web:
        web.wait_for("Serving HTTP", 10)
        done, report = bench(f"http://127.0.0.1:{port}", tmp_path, "--emit", "echo", "--ack")
    assert done.code == 1, done.text
    assert len(told(done)) == 1 and "HTTP 404" in told(done)[0] and "path" in told(done)[0]
    # Protocol 0.9 is tried last; what the server said to the first form tells more.
    assert row(report, "OPEN", "polling")["failures"] == row(report, "CONNECT", "/")["failures"] > 0


def test_a_message_that_is_too_large(tmp_path):
    with serverkit.running("sio4", "--max-payload", "1000") as server:
        done, report = bench(
            server.url, tmp_path, "--emit", "echo", "--data", json.dumps("x" * 2000), "--ack", "--rate", "max"
        )
    assert done.code == 1, done.text
    assert len(told(done)) == 1 and "maxPayload" in told(done)[0]
    assert report["ledger"]["error"] == report["ledger"]["emits"] == row(report, "CALL", "echo")["failures"]
    assert report["ledger"]["emits"] <= 20 * 3, "a fault that comes at once must not spin"


def test_a_server_that_never_acks(node4, tmp_path):
    done, report = bench(node4.url, tmp_path, "--emit", "silent", "--ack", "--timeout", "0.5")
    assert done.code == 1, done.text
    assert told(done) == ["silent: no ack in time"], done.text
    assert (
        report["ledger"]["timeout"]
        == report["ledger"]["emits"]
        == node4.counts()["received"]["/"]["silent"]
        > 0
    )


def test_an_option_that_means_nothing_is_told_of_once(target, tmp_path):
    args = ["bench", target.url, "--emit", "echo", "--users", "1", "--run-time", "1s", "--option", "logger=1"]
    done = serverkit.run_sioload(args, cwd=tmp_path, fresh=True)  # what it becomes is another process
    assert done.code == 0 and done.text.count("option 'logger' means nothing here") == 1, done.text
