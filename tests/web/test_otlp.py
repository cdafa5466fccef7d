"""What a collector of OpenTelemetry receives, as OpenTelemetry's own package decodes it."""

from __future__ import annotations

import gzip
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import serverkit
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from showkit import Shown

from sioload.measure.histogram import Histogram
from sioload.report.buckets import exponential
from sioload.report.told import Told

#: `AGGREGATION_TEMPORALITY_DELTA`, as metrics.proto numbers it.
DELTA = 1

SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser

class Chat(SocketIOUser):
    options = {"namespaces": ["/", "/chat"], "auth": {"token": "secret"}}
    label = "the crowd"
    wait_time = constant(0.1)

    @task
    def talk(self):
        self.sio.call("echo", 1)
        self.sio.call("echo", 1, name="/users")  # no namespace, but looks like one
        self.sio.call("echo", 1, namespace="/chat", ok=lambda reply: False)

    @task
    def tell(self):
        self.sio.emit("message", {"text": "hi"})
"""


class Collector(BaseHTTPRequestHandler):
    """Keeps what it gets."""

    got: list[tuple[str, dict[str, str], ExportMetricsServiceRequest]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.got.append((self.path, dict(self.headers), ExportMetricsServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.got = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def attributes(point: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def decoded(request: ExportMetricsServiceRequest) -> tuple[dict[str, str], dict[str, Any]]:
    (resource,) = request.resource_metrics
    (scope,) = resource.scope_metrics
    return attributes(resource.resource), {metric.name: metric for metric in scope.metrics}


@pytest.mark.parametrize("processes", [pytest.param(0, marks=pytest.mark.verify), 2])
def test_a_collector_gets_what_the_report_says(
    processes: int, collector: str, target: serverkit.Server, tmp_path: Path
) -> None:
    script, file = tmp_path / "chat.py", tmp_path / "report.json"
    script.write_text(SCRIPT)
    args = ["-f", str(script), "--headless", "-u", "4", "-r", "4", "-t", "3s", "--host", target.url,
            "--sio-otlp", collector, "--sio-report", str(file), "--exit-code-on-error", "0"]  # fmt: skip
    args += ["--processes", str(processes)] if processes else []
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "x-token=abc", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
           "OTEL_RESOURCE_ATTRIBUTES": "team=chat", "OTEL_SERVICE_NAME": ""}  # fmt: skip
    done = serverkit.run_locust(args, 60, env=env)
    assert done.code == 0, done.text
    report = json.loads(file.read_text())
    path, headers, last = Collector.got[-1]
    assert path == "/v1/metrics" and headers["x-token"] == "abc" and headers["Content-Encoding"] == "gzip"
    resource, metrics = decoded(last)
    assert resource["service.name"] == "sioload" and resource["team"] == "chat" and resource["sioload.run"]
    times: dict[tuple[str, str], list[Any]] = {}
    kinds = set()
    for point in metrics["sioload.event.duration"].exponential_histogram.data_points:
        of = attributes(point)
        times.setdefault((of["sioload.type"], of["sioload.name"]), []).append(point)
        kinds.add((of["sioload.name"], of.get("sioload.namespace"), of.get("error.type")))
        assert point.count == sum(point.positive.bucket_counts) + point.zero_count
    timed = {(e["type"], e["name"]): e for e in report["events"] if e["latency_ms"] is not None}
    assert times.keys() == timed.keys()
    for key, event in timed.items():
        points, count = times[key], sum(point.count for point in times[key])
        assert max(p.max for p in points) * 1000 == pytest.approx(event["latency_ms"]["max"], rel=0.01)
        mean = sum(point.sum for point in points) / count * 1000
        assert mean == pytest.approx(event["latency_ms"]["mean"], rel=1e-3)
        if event["type"] == "CALL":
            assert count == event["count"] and len(points) == 1
    assert {(name.removesuffix(" @the crowd"), *more) for name, *more in kinds if more[0] is not None} == {
        ("/", "/", None),
        ("/chat", "/chat", None),
        ("echo", "/", None),
        ("/users", "/", None),
        ("/chat echo", "/chat", "unexpected reply"),
    }
    rows = [(attributes(point), point.as_int) for point in metrics["sioload.events"].sum.data_points]
    counted = {(of["sioload.type"], of["sioload.name"]): n for of, n in rows}
    assert counted == {(e["type"], e["name"]): e["count"] for e in report["events"]}
    outcomes = {attributes(p)["sioload.outcome"]: p.as_int for p in metrics["sioload.emits"].sum.data_points}
    assert outcomes == {key: report["ledger"][key] for key in outcomes} and outcomes["acked"] > 10
    failed = {attributes(p)["sioload.failure"]: p.as_int for p in metrics["sioload.failures"].sum.data_points}
    assert failed["unexpected reply: ok() returned false"] == sum(e["failures"] for e in report["events"])
    judged = sum(1 for process in report["health"]["processes"] if process["windows"])
    lag = metrics.get("sioload.generator.lag")
    lags = [] if lag is None else lag.gauge.data_points
    assert len({attributes(point)["sioload.worker"] for point in lags}) == judged
    assert {"sioload.users", "sioload.connections"} <= metrics.keys()


def test_a_collector_that_wants_to_hear_what_came_since_is_told_each_sample_once(
    collector: str, target: serverkit.Server, tmp_path: Path
) -> None:
    script, file = tmp_path / "chat.py", tmp_path / "report.json"
    script.write_text(SCRIPT)
    args = ["-f", str(script), "--headless", "-u", "4", "-r", "4", "-t", "3s", "--host", target.url,
            "--sio-otlp", collector, "--sio-report", str(file), "--exit-code-on-error", "0",
            "--processes", "2"]  # fmt: skip
    env = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    done = serverkit.run_locust(args, 60, env=env)
    assert done.code == 0, done.text
    report = json.loads(file.read_text())
    counted: Counter[tuple[str, str]] = Counter()
    timed: Counter[tuple[str, str]] = Counter()
    outcomes: Counter[str] = Counter()
    for _, _, request in Collector.got:
        _, metrics = decoded(request)
        for name, metric in metrics.items():
            data = getattr(metric, metric.WhichOneof("data") or "nothing")
            assert data.data_points and getattr(data, "aggregation_temporality", DELTA) == DELTA, name
            for point in data.data_points:
                of = attributes(point)
                if name == "sioload.emits":
                    outcomes[of["sioload.outcome"]] += point.as_int
                elif name == "sioload.events":
                    counted[of["sioload.type"], of["sioload.name"]] += point.as_int
                elif name == "sioload.event.duration":
                    timed[of["sioload.type"], of["sioload.name"]] += point.count
    rows = {(each["type"], each["name"]): each["count"] for each in report["events"]}
    assert counted == rows and outcomes == {key: report["ledger"][key] for key in outcomes}
    assert timed == {row: n for row, n in rows.items() if row in timed} and timed.keys() >= {
        row for row in rows if row[0] == "CALL"
    }


def test_what_a_collector_did_not_take_is_told_again() -> None:
    told, times = Told(delta=True), Histogram()
    times.add(0.5, 3)
    assert told.since(7) == 7 and told.count("a", 3) == 3 and told.times("a", times).total == 3
    assert told.since(7) == 7 and told.count("a", 4) == 4, "it wasn't taken"
    assert told.times("a", times).total == 3
    told.taken(9)
    times.add(0.1)
    assert told.since(7) == 9 and told.count("a", 6) == 2
    assert told.times("a", times).counts == {index: n for index, n in times.counts.items() if n == 1}
    assert told.since(8) == 8 and told.count("a", 2) == 2 and told.times("a", times).total == 4, "a new test"
    whole = Told()
    whole.taken(9)
    assert whole.since(7) == 7 and whole.count("a", 6) == 6 and whole.times("a", times) is times


def acked_by(shown: Shown, *, final: bool) -> int:
    """How many calls were answered, as soon as some were in a run that goes on, or is over."""
    deadline = time.monotonic() + 30
    while True:
        report = shown.json("/sioload/report.json")
        acked: int = report["ledger"]["acked"]
        if acked and report["final"] == final:
            return acked
        assert time.monotonic() < deadline, f"{report['ledger']} {shown.process}"
        time.sleep(0.1)


def test_each_run_of_the_web_ui_is_sent_when_it_is_over(
    collector: str, target: serverkit.Server, tmp_path: Path
) -> None:
    """Two that are shorter than the time between two exports, one right after the other."""
    shown = Shown(target.url, tmp_path, "--sio-otlp", f"{collector}/?key=a")
    with shown.process:
        ended = []
        for _ in range(2):
            shown.ask("/swarm", {"user_count": 2, "spawn_rate": 2, "host": target.url})
            acked_by(shown, final=False)
            shown.ask("/stop", {})
            ended.append(acked_by(shown, final=True))
            shown.until("stopped")
        sent: dict[str, list[int]] = {}
        for _, _, request in Collector.got:
            resource, metrics = decoded(request)
            points = metrics["sioload.emits"].sum.data_points
            acked = sum(p.as_int for p in points if attributes(p)["sioload.outcome"] == "acked")
            sent.setdefault(resource["sioload.run"], []).append(acked)
    assert {path for path, _, _ in Collector.got} == {"/v1/metrics?key=a"}
    assert all(ended) and [each[-1] for each in sent.values()] == ended, (ended, sent)


def test_a_collector_that_is_gone_is_said_once(target: serverkit.Server, tmp_path: Path) -> None:
    args = ["-f", "locustfiles/echo.py", "--headless", "-u", "2", "-r", "2", "-t", "2s", "--host", target.url,
            "--sio-otlp", "HTTP://me:s3cretword@127.0.0.1:1"]  # fmt: skip
    done = serverkit.run_locust(args, 60, env={"OTEL_EXPORTER_OTLP_TIMEOUT": "2"})
    assert done.code == 0 and done.err.count("--sio-otlp: ") == 1, done.text
    assert "s3cretword" not in done.text and "Traceback" not in done.text


def test_exponential_buckets_hold_every_sample_where_it_lies() -> None:
    times = Histogram()
    for n in range(1, 2000):
        times.add(n * n * 1e-7, n)
    times.add(0.0, 3)
    zeros, first, counts = exponential(times, 4)
    assert zeros == 3 and zeros + sum(counts) == times.total
    assert 2 ** ((first - 0.5) / 16) < 1.6e-7 and counts[0] and counts[-1]
    reached = 0
    for number, n in enumerate(counts, first):
        reached += n
        below = sum(m for m in range(1, 2000) if m * m * 1e-7 <= 2 ** ((number + 1) / 16))
        assert math.isclose(reached, below, rel_tol=0.02, abs_tol=80)
    assert exponential(Histogram(), 4) == (0, 0, [])
