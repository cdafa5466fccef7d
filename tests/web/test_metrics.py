"""The Prometheus endpoint: equal to the report, bounded, on loopback only."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serverkit
from prometheus_client.parser import text_string_to_metric_families

USERS = Path(__file__).with_name("users.py")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def args(target: serverkit.Server, folder: Path, *more: str) -> list[str]:
    load = [
        "-u",
        "6",
        "-r",
        "6",
        "--sio-grace",
        "0.3",
        "--headless",
        "--only-summary",
        "--sio-report",
        str(folder / "report.json"),
    ]
    return ["-f", str(USERS), "--host", target.url, *load, "--sio-metrics-port", "0", *more]


def read(port: int) -> Samples:
    """All samples, by name and sorted labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def reads(process: serverkit.Process, port: int) -> Iterator[Samples]:
    """Read as Prometheus does, until the process has ended."""
    while process.popen.poll() is None:
        try:
            yield read(port)
        except OSError:
            return
        time.sleep(1.0)


def started(process: serverkit.Process) -> int:
    return int(process.wait_for(r"metrics on http://127\.0\.0\.1:(\d+)/metrics", 20)[1])


def test_the_last_read_equals_the_report(target: serverkit.Server, tmp_path: Path) -> None:
    with serverkit.Process(
        serverkit.locust(args(target, tmp_path, "-t", "5s", "--sio-check", "CALL: p99 < 9s"))
    ) as process:
        found = list(reads(process, started(process)))
        process.wait(30)
        report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    last = found[-1]

    def value(name: str, /, **labels: str) -> float:
        return last[name, tuple(sorted(labels.items()))]

    for event in report["events"]:
        row = {"type": event["type"], "name": event["name"]}
        assert value("sioload_events_total", **row) == event["count"], row
        assert value("sioload_failures_total", **row) == event["failures"], row
        if event["latency_ms"] is not None:
            timed = value("sioload_event_duration_seconds_count", **row)
            assert timed == value("sioload_event_duration_seconds_bucket", **row, le="+Inf") <= event["count"]
            mean = value("sioload_event_duration_seconds_sum", **row) / timed
            assert mean * 1000 == pytest.approx(event["latency_ms"]["mean"], abs=0.001)
    assert value("sioload_unfinished_waits_total", type="WAIT", name="never") == 6, "one of each user"
    for outcome in ("acked", "sent", "timeout", "error", "indeterminate", "not_sent"):
        assert value("sioload_emits_total", outcome=outcome) == report["ledger"][outcome]
    made = report["connections"]
    assert value("sioload_connections_opened_total") == made["opened"]
    assert value("sioload_connections_closed_total", reason="client") == made["closed"]["client"]
    assert (
        value("sioload_delivery_pushes", name="news", result="received") == report["delivery"][0]["received"]
    )
    (heard,) = report["audience"]
    for result in ("messages", "owed", "reached", "missed", "strays", "late"):
        assert value("sioload_audience_total", name="/chat message", result=result) == heard[result]
    assert value("sioload_audience_spread_seconds_count", name="/chat message") > 0
    assert value("sioload_audience_share") == 1
    assert value("sioload_check_ok", check="CALL: p99 < 9s") == 1
    assert value("sioload_run_active") == 0
    assert value("sioload_generator_lag_seconds", worker="local") < 1 and value("sioload_workers") == 0
    cpu = [samples.get(("sioload_generator_cpu_cores", (("worker", "local"),))) for samples in found]
    assert cpu[0] is None and 0 not in cpu and cpu[-1] is not None, "of no window before there is one"
    live = [samples for samples in found if samples["sioload_run_active", ()] == 1]
    assert max(samples["sioload_users", ()] for samples in live) == 6
    state = (("state", "open"), ("transport", "websocket"))
    assert max(samples.get(("sioload_connections", state), 0) for samples in live) == 6


def test_what_was_read_of_a_server_long_ago_is_not_told_as_if_it_were_now(
    target: serverkit.Server, tmp_path: Path
) -> None:
    both, rest = {"brief", "own"}, {"own"}
    with serverkit.Process(["sleep", "60"]) as brief:
        servers = ["--sio-server", f"brief=pid:{brief.pid}", "--sio-server", f"own=pid:{target.process.pid}"]
        with serverkit.Process(serverkit.locust(args(target, tmp_path, "-t", "13s", *servers))) as process:
            told: list[set[str]] = []
            for samples in reads(process, started(process)):
                told.append({dict(labels)["name"] for name, labels in samples if name == "sioload_server"})
                if told[-1] == both:
                    brief.signal(signal.SIGTERM)
            process.wait(30)
    assert both in told and told[-1] == rest, told
    assert {each["name"] for each in json.loads((tmp_path / "report.json").read_text())["server"]} == both


def test_a_check_on_a_phase_to_come_raises_no_alarm(target: serverkit.Server, tmp_path: Path) -> None:
    """Nor one on a run to come: the alert is for checks that are 0."""
    port = serverkit.free_port()
    command = ["-f", str(USERS), "--host", target.url, "--sio-metrics-port", "0", "--web-port", str(port),
               "--web-host", "127.0.0.1", "--sio-phases", "a: 2 users for 4s; b: 2 users for 30s",
               "--sio-check", "CALL: p99 < 9s in b", "--sio-check", "CALL: p99 < 9s"]  # fmt: skip
    early, late = (("check", "CALL: p99 < 9s"),), (("check", "CALL: p99 < 9s in b"),)
    with serverkit.Process(serverkit.locust(command)) as process:
        metrics = started(process)
        assert not any(name == "sioload_check_ok" for name, _ in read(metrics))
        process.wait_for("Starting web interface", 30)
        urllib.request.urlopen(f"http://127.0.0.1:{port}/swarm", b"user_count=2&spawn_rate=2", timeout=10)
        seen: dict[str, set[float | None]] = {"": set(), "a": set(), "b": set()}
        deadline = time.monotonic() + 30
        while 1.0 not in seen["b"]:
            assert time.monotonic() < deadline, seen
            samples = read(metrics)
            phase = next((dict(labels)["phase"] for name, labels in samples if name == "sioload_phase"), "")
            seen[phase].add(samples.get(("sioload_check_ok", late)))
            time.sleep(0.3)
    assert seen["a"] == {None} and samples["sioload_check_ok", early] == 1


def test_many_names_make_few_series_and_no_secret_is_told(target: serverkit.Server, tmp_path: Path) -> None:
    with serverkit.Process(
        serverkit.locust(args(target, tmp_path, "-t", "30s")), env={"NAMES": "400"}
    ) as process:
        port = started(process)
        deadline = time.monotonic() + 20
        while True:
            samples = read(port)
            names = {dict(labels)["name"] for name, labels in samples if name == "sioload_events_total"}
            if "(other)" in names:
                break
            assert time.monotonic() < deadline, len(names)
            time.sleep(0.3)
        assert len(names) <= 200
        assert "<script>boom()</script>" in names, "labels are escaped, not cut"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert "canary" not in text and "secret" not in text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        addresses = re.findall(rf"\s([0-9A-F]+):{port:04X} \S+ 0A", listening)
        assert addresses == ["0100007F"], "nothing but 127.0.0.1"


def test_a_kept_connection_lives_on_after_a_head(target: serverkit.Server, tmp_path: Path) -> None:
    """Whose answer has no body; one would be taken for the next answer (probes of uptime ask so)."""
    with serverkit.Process(serverkit.locust(args(target, tmp_path, "-t", "20s"))) as process:
        asking = http.client.HTTPConnection("127.0.0.1", started(process), timeout=10)
        for path, status in (("/metrics", 200), ("/", 404), ("/metrics", 200)):
            for method in ("HEAD", "GET"):
                asking.request(method, path)
                answer = asking.getresponse()
                body = answer.read()
                assert answer.status == status and int(answer.headers["Content-Length"]) > 10
                assert bool(body) == (method == "GET")
        asking.close()


def test_a_port_that_is_taken_is_bad_usage(target: serverkit.Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = args(target, tmp_path, "-t", "5s", "--sio-metrics-port", port)
        done = serverkit.run_locust(command)
    assert done.code == 2, done.text
    told = f"can't serve metrics on 127.0.0.1:{port}: Address already in use: give another --sio-metrics-port"
    assert told in done.err, done.text
    assert target.counts()["connects"] == {}, "before any load"
