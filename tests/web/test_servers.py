"""Figures of the servers beside the client's: of two nodes, one of them busy, and of hostile endpoints."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serverkit

from sioload import CheckError
from sioload.report.checks import parse
from sioload.report.evaluation import evaluate
from sioload.report.figures import Figures
from sioload.report.history import History
from sioload.report.series import regular
from sioload.report.servers import KEEP, MOST, Metric, Servers, shown, shown_total, summary

SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser

class A(SocketIOUser):
    host = {a!r}
    wait_time = constant(0.05)

    @task
    def echo(self):
        self.sio.call("echo", "x" * 20)

class B(A):
    host = {b!r}
"""

#: What an endpoint answers, by its path; then it goes on as `Hostile` says.
ANSWERS = {
    "/mute": b"",
    "/endless": b"HTTP/1.1 200 OK\r\n\r\n",
    "/large": b"HTTP/1.1 200 OK\r\n\r\n",
    "/heads": b"HTTP/1.1 200 OK\r\n",
    "/page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "/odd": b"HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\nprocess_open_fds one\nprocess_open_fds{",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nprocess_open_fds 1",
    "/piece": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\nprocess_open_fds 1",
    "/packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
    "/many": b"HTTP/1.1 200 OK\r\n\r\n" + b"process_open_fds 1\n" * 501,
    "/noise": b"\x00\xff\r\n\r\n" * 10,
}
GOES_ON = {"/endless": b"x" * 65536, "/large": b"# HELP x y\n" * 6000, "/heads": b"X-More: 1\r\n" * 100}


CHECKS = (
    "server[a/event_loop_lag]: max < 60s",
    "server[admin/one/clients]: max >= 5",
    "server[b/event_loop_lag]: mean > 20ms",
    "server[own/memory]: max < 1GiB",
    'server[a/app_rooms{kind="chat"}]: last == 3',
    'server[b/app_rooms{app="chat",kind="chat"}]: last == 3',
)


@contextlib.contextmanager
def hostile() -> Iterator[str]:
    """A server whose answers are of no use, or never end; its URL."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def answer(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            path = peer.recv(4096).split()[1].decode()
            peer.sendall(ANSWERS.get(path, ANSWERS["/noise"]))
            while path in GOES_ON and not over.is_set():
                peer.sendall(GOES_ON[path])
            if path == "/mute":
                over.wait(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


def test_the_busy_node_stands_out_and_hostile_endpoints_harm_nothing(tmp_path: Path) -> None:
    script, report = tmp_path / "nodes.py", tmp_path / "report.json"
    with (
        serverkit.running("watched", "--id", "one") as a,
        serverkit.running("watched", "--id", "two", "--busy", "0.6", "--app", "chat") as b,
        hostile() as nowhere,
    ):
        script.write_text(SCRIPT.format(a=a.url, b=b.url))
        args = ["-f", str(script), "--headless", "-u", "8", "-r", "8", "-t", "7s", "--only-summary",
                "--sio-report", str(report), "--sio-html", str(tmp_path / "report.html"),
                "--sio-server", f"a={a.url}/metrics?für=alle", "--sio-server", f"b={b.url}/metrics",
                "--sio-server", f"own=pid:{a.process.pid}", "--sio-server-metric", "app_*"]  # fmt: skip
        for check in CHECKS:
            args += ["--sio-check", check]
        for path in ANSWERS:
            args += ["--sio-server", f"{path[1:]}={nowhere}{path}"]
        args += ["--sio-server", "gone=http://me:s3cret@127.0.0.1:1/metrics"]
        for node in (a, b):
            args += ["--sio-admin", node.url.replace("//", "//admin:s3cret%2Fword@")]
        done = serverkit.run_locust(args, 60)
        counted = {"one": serverkit.counts(a.url), "two": serverkit.counts(b.url)}
    assert done.code == 0, done.text
    written = json.loads(report.read_text())
    figures: dict[tuple[str, str], dict[str, Any]] = {
        (each["name"] + each["node"], each["metric"]): each for each in written["server"]
    }
    lags = [figures[node, "event_loop_lag"]["mean"] for node in ("a", "b")]
    used = [figures[node, "cpu"]["mean"] for node in ("a", "b")]
    assert lags[1] > 3 * lags[0] and used[1] > used[0], (lags, used)
    for node, counts in counted.items():
        assert figures[f"admin{node}", "clients"]["max"] == 4 + 1, "four users, and we who ask"
        for metric, key, own in (
            ("packets_in", "in", 5),
            ("packets_out", "out", 10),
            ("bytes_in", "bytesIn", 500),
        ):
            total = figures[f"admin{node}", metric]["total"]
            assert counts[key] - own <= total <= counts[key] and counts[key] > 4 * own, (node, metric, total)
    assert figures["own", "memory"]["min"] > 10e6 and figures["own", "descriptors"]["min"] > 5
    assert written["duration_s"] < 9 and written["health"]["own_lag_p99_ms"] < 100
    said = re.findall(r"--sio-server (\w+): (.*?) \(said once", done.err)
    assert sorted(name for name, _ in said) == sorted(["gone", *(path[1:] for path in ANSWERS)]), done.text
    assert "a line has no end" in dict(said)["endless"] and "302" in dict(said)["away"]
    assert "larger than 4 MiB" in dict(said)["large"]
    assert "it doesn't speak HTTP" in dict(said)["noise"]
    assert dict(said)["half"] == dict(said)["piece"] == "its answer isn't whole"
    assert "compressed" in dict(said)["packed"] and "too many figures" in dict(said)["many"]
    everything = done.text + report.read_text() + (tmp_path / "report.html").read_text()
    assert "s3cret" not in everything
    spent = shown_total(figures["own", "cpu"]["total"], "cores")
    assert f"<td>{spent}</td></tr>" in everything, "what was used of a core came to seconds"
    drawn = json.loads(re.findall(r'id="sioload-data">(.*?)</script>', everything)[0])["servers"]
    lines = {(each["label"], each["metric"]): each["values"] for each in drawn}
    assert any(lines["a", "cpu"]) and any(lines["b", "event_loop_lag"]) and any(lines["admin two", "clients"])


def test_what_cannot_be_read_is_said_once_though_statistics_are_reset(
    target: serverkit.Server,
) -> None:
    """The namespace is asked for before the test begins, and every 5 s; users are all there after 2 s."""
    args = ["-f", "locustfiles/echo.py", "--headless", "-u", "3", "-r", "1", "-t", "8s", "--reset-stats",
            "--only-summary", "--host", target.url, "--sio-admin", target.url,
            "--sio-server", "gone=http://127.0.0.1:1/"]  # fmt: skip
    done = serverkit.run_locust(args, 60)
    assert done.code == 0 and "Resetting stats" in done.err, done.text
    for option in (f"--sio-admin {target.url}: ", "--sio-server gone: "):
        assert done.err.count(option) == 1, done.text


def test_an_admin_namespace_that_tells_nothing_is_said_with_its_remedy(
    servers: Callable[..., serverkit.Server], target: serverkit.Server
) -> None:
    quiet = servers("sio4").url + "/chat"
    with serverkit.running("watched") as node:
        wrong, other = node.url.replace("//", "//admin:wr0ng@"), node.url + "/other"
        args = ["-f", "locustfiles/echo.py", "--headless", "-u", "1", "-t", "7s", "--only-summary",
                "--host", target.url, "--sio-admin", wrong, "--sio-admin", other, "--sio-admin", quiet,
                "--sio-admin", target.url]  # fmt: skip
        done = serverkit.run_locust(args, 60)
    assert done.code == 0 and "wr0ng" not in done.text, done.text
    said = dict(re.findall(r"--sio-admin (\S+): (.*) \(said once\)", done.err))
    no_admin = "name the namespace of @socket.io/admin-ui in the URL, if the server uses it"
    assert said == {
        node.url: "connect: namespace /admin refused: invalid credentials: give credentials in the URL, "
        "as http://user:password@host/admin",
        other: f"connect: namespace /other refused: Invalid namespace: {no_admin}",
        quiet: f"/chat is joined, but no server_stats come: {no_admin}",
        target.url: f"connect: namespace /admin refused: Unable to connect: {no_admin}",
    }, done.text


OF_ANOTHER = """
import os
from sioload.report.servers import Servers
from sioload.swarm.scrape import ProcessSource, ReadError

os.setuid(65534)
servers, source = Servers(), ProcessSource("api", 1)
for _ in range(2):
    try:
        source.read(servers)
    except ReadError as error:
        print(error)
print(sorted((each.metric, each.count) for each in servers.metrics()))
"""


def test_of_another_users_process_all_is_read_but_its_descriptors() -> None:
    if os.getuid():
        serverkit.missing("another user", "run as root")
    done = serverkit.run([sys.executable, "-c", OF_ANOTHER], 30)
    said = ["its descriptors can't be counted, as it is another user's process"]
    assert done.out.splitlines() == [*said, "[('cpu', 1), ('memory', 2)]"], done.text


OPEN = """
import locust  # with it, a fork does
import sys
from sioload.engineio.urls import parse_url
from sioload.report.servers import Servers
from sioload.swarm.scrape import PrometheusSource

servers, source = Servers(), PrometheusSource("api", parse_url(sys.argv[1]), ("http_*",))
for _ in range(2):
    source.read(servers)
print(sorted((each.metric, each.unit, each.count) for each in servers.metrics()))
"""
#: Counters as OpenMetrics has them, without a type, what only ends like one, and what is no figure.
METRICS = b"""# TYPE http_requests counter
http_requests_total 7
http_errors_total 2
# TYPE http_open_total gauge
http_open_total 3
# TYPE http_seconds summary
http_seconds{quantile="0.9"} 5
http_seconds_count 3
http_seconds_sum NaN
# TYPE http_size histogram
http_size_bucket{le="+Inf"} 4
http_size_sum +Inf
# TYPE http_odd gauge
http_odd 1e300
# EOF
"""


def test_a_counter_of_openmetrics_is_its_rate() -> None:
    class Told(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(METRICS)))
            self.end_headers()
            self.wfile.write(METRICS)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        done = serverkit.run([sys.executable, "-c", OPEN, url], 30)
        server.shutdown()
    rates = [("http_errors_total", "/s", 1), ("http_open_total", "", 2), ("http_requests_total", "/s", 1),
             ("http_seconds_count", "/s", 1), ('http_seconds{quantile="0.9"}', "", 2)]  # fmt: skip
    assert done.out.strip() == str(rates), done.text


ADMIN = """
import locust  # with it, a fork does
from sioload.report.servers import Servers
from sioload.swarm.admin import AdminSource

servers, said = Servers(), []
source = AdminSource("http://127.0.0.1:1/admin", servers, lambda: True, said.append)
told = {"serverId": "host", "hostname": "host", "pid": 7, "uptime": 10, "clientsCount": 3,
        "pollingClientsCount": 1, "aggregatedEvents": [{"type": "packetsIn", "count": 8}, {"type": "rooms"}]}
for uptime in (10, 14, 14 + 1e-9):
    source._on_stats({**told, "uptime": uptime})
for config in (None, {}, {"supportedFeatures": None}, {"supportedFeatures": ["MKCOL"]}):
    source._on_config(config)
print(said)
for bad in (5, {}, {**told, "clientsCount": "nan"}, {**told, "uptime": "inf"}, {**told, "uptime": 1e300},
            {**told, "aggregatedEvents": [{"type": "packetsIn", "count": -1}]}):
    source._on_stats(bad)
source._on_config({"supportedFeatures": ["EMIT", "ALL_EVENTS"]})
print(*said, sep="\\n")
for each in servers.metrics()[:3]:
    print(each.node, each.metric, each.count, each.min, each.max, each.total)
"""


def test_what_no_node_can_tell_of_itself_is_not_kept() -> None:
    """One text `nan` made the report one that JSON's readers refuse."""
    done = serverkit.run([sys.executable, "-c", ADMIN], 30)
    nothing, *said = done.out.splitlines()
    assert nothing == "[]" and len(said) == 10, done.text
    assert all(line.startswith("its server_stats can't be understood (") for line in said[:6]), done.text
    assert said[6].endswith("instrument(io, {mode: 'production'}) leaves that out"), done.text
    assert said[7:] == ["host#7 clients 3 3.0 3.0 None", "host#7 polling_clients 3 1.0 1.0 None",
                        "host#7 packets_in 2 2.0 4.0 16.0"], done.text  # fmt: skip


@pytest.mark.verify
def test_endpoints_of_no_use_leave_own_lag_as_it_is(target: serverkit.Server, tmp_path: Path) -> None:
    def lag(*more: str) -> float:
        report = tmp_path / "report.json"
        args = ["-f", "locustfiles/echo.py", "--headless", "-u", "8", "-r", "8", "-t", "12s",
                "--host", target.url, "--sio-report", str(report), *more]  # fmt: skip
        done = serverkit.run_locust(args, 60)
        assert done.code == 0, done.text
        health = json.loads(report.read_text())["health"]
        assert health["verdict"] == "ok", health
        return float(health["own_lag_p99_ms"])

    with hostile() as nowhere:
        sources = [arg for path in ANSWERS for arg in ("--sio-server", f"{path[1:]}={nowhere}{path}")]
        sources += ["--sio-server", "gone=http://127.0.0.1:1/", "--sio-admin", nowhere]
        without, along = lag(), lag(*sources)
    assert along < without + 5.0, "5 ms are the least that would make a generator limited"


@pytest.mark.parametrize(
    "args, said",
    [
        (["--sio-server", "api"], "write NAME=URL"),
        (["--sio-server", "api=ftp://me:s3cret@host/"], "must begin with http://"),
        (["--sio-server", "admin=http://host/"], "choose another"),
        (["--sio-server", "a=http://host/", "--sio-server", "a=http://host/"], "two servers are called 'a'"),
        (["--sio-server", "a=pid:999999999"], "there is no process 999999999"),
        (["--sio-server-metric", "http-*"], "is no name of a metric"),
        (["--sio-admin", "admin:s3cret@host"], "must begin with http://"),
        (["--sio-admin", "http://host/?token=s3cret"], "a query is of no use there"),
        (["--sio-check", "server[a/event_loop_lag]: max < 200MB"], "event_loop_lag is a time, such as 200ms"),
    ],
)
def test_bad_usage_is_said_before_load(args: list[str], said: str, tmp_path: Path) -> None:
    done = serverkit.run_locust(["-f", "locustfiles/echo.py", "--headless", "-u", "1", "-t", "1s", *args])
    assert done.code == 2 and said in done.err and "s3cret" not in done.text, done.text


def test_checks_know_the_usual_figures_and_their_units() -> None:
    limits = {"event_loop_lag]: max < 200ms": 0.2, "memory]: mean < 1.5GiB": 1.5 * 2**30,
              "cpu]: mean < 90%": 0.9, "bytes_in]: max < 5MB/s": 5e6, "anything]: last < 7": 7}  # fmt: skip
    for text, limit in limits.items():
        assert parse(f"server[api/{text}").limit == limit
    refused = {"api/memory]: max < 2s": "is a size", "api]: max < 1": "source and figure",
               "api/memory]: p99 < 1GB": "unknown stat", "api/cpu]: max < 1 in peak": "over the whole run",
               "api/cpu]: max < 1 abort after 5s": "whole run", "api/x]: max < y": "no number"}  # fmt: skip
    for text, said in refused.items():
        with pytest.raises(CheckError, match=said):
            parse(f"server[{text}")


@pytest.mark.parametrize(
    ("text", "ok", "value", "reason"),
    [
        ("server[api/memory]: max < 1GiB min_samples 10", False, "2 readings",
         "2 readings, where 10 are needed"),
        ("server[api/memory]: max < 1GiB min_samples 2", True, "64 MiB", ""),
        ("server[api/memry]: max < 9", False, "no readings",
         "no readings, where 1 is needed; the nearest figure is api/memory"),
        ("server[api/memry]: max < 9 min_samples 0", True, "no readings", ""),
    ],
)  # fmt: skip
def test_too_few_readings_fail_a_check_and_it_says_how_many_there_are(
    text: str, ok: bool, value: str, reason: str
) -> None:
    memory = Metric("api", "", "memory", "B")
    for second in (2.0, 4.0):
        memory.add(second, 64.0 * 2**20)
    result = evaluate(parse(text), Figures(servers=[memory]), duration=1, peak_users=1)
    assert (result.ok, result.value, result.reason) == (ok, value, reason)


def test_the_readings_of_all_nodes_of_a_source_are_judged_as_those_of_one() -> None:
    servers = Servers()
    for node, lag in (("one", 0.1), ("one", 0.3), ("two", 0.8)):
        servers.add(("api", node, "event_loop_lag"), "s", 1.0, lag)
        servers.add(("api", node, "queue_size"), "", 1.0, lag)
    for text, ok, value, reason in (
        ("event_loop_lag]: mean < 401ms", True, "400 ms", ""),
        ("event_loop_lag]: mean < 399ms", False, "400 ms", "mean is 400 ms, not < 399 ms"),
        ("event_loop_lag]: max < 500ms", False, "800 ms", "max is 800 ms, not < 500 ms"),
        ("event_loop_lag]: min >= 200ms", False, "100 ms", "min is 100 ms, not >= 200 ms"),
        ("one/event_loop_lag]: mean == 200ms", True, "200 ms", ""),
        ("queue_size]: max < 500ms", False, "not comparable", "queue_size is a number"),
        ("queue_size]: max < 9", True, "0.8", ""),
        ("event_loop_lag]: last < 2s min_samples 4", False, "3 readings", "3 readings, where 4 are needed"),
    ):
        text = f"server[api/{text}"
        found = evaluate(parse(text), Figures(servers=servers.metrics()), duration=1, peak_users=1)
        assert (found.ok, found.value, found.reason) == (ok, value, reason), text
    told = [metric.document(0.0) for metric in servers.metrics()]
    assert summary(told) == [
        "api one: event loop lag 200 ms (max 300 ms), queue_size 0.2 (max 0.3)",
        "api two: event loop lag 800 ms (max 800 ms), queue_size 0.8 (max 0.8)",
    ]
    many = Servers()
    taken = [many.add(("api", "", f"m{number}"), "", 1.0, 1.0) for number in range(MOST + 1)]
    assert taken == [*[True] * MOST, False] and many.add(("other", "", "m"), "", 1.0, 1.0)
    assert many.add(("api", "", "m0"), "", 2.0, 1.0), "what is known goes on"


def test_a_course_of_many_points_is_halved_by_means_of_two() -> None:
    metric = Metric("a", "", "cpu", "cores")
    for second in range(KEEP + 3):
        metric.add(float(second), float(second))
    assert metric.document(0.0)["series"][:4] == [[1, 0.5], [3, 2.5], [4, 4], [5, 5]]
    assert metric.on([(0.5, 1.5), (1.5, 2.5), (2.5, 3.5), (KEEP + 7.0, KEEP + 8.0)], 0.0) == [
        0.5, 0.5, 2.5, KEEP + 2
    ]  # fmt: skip
    assert metric.on([(0.0, 0.5), (KEEP + 8.0, KEEP + 9.0)], 0.0) == [None, None]


def test_a_long_course_stays_small_and_its_extremes_exact() -> None:
    metric = Metric("a", "", "cpu", "cores")
    for second in range(20_000):
        metric.add(float(second), float(second == 12_345))
    shown = metric.document(0.0)
    assert len(shown["series"]) < 7 * KEEP and shown["series"][-1][0] == 19_999
    assert shown["series"][0][0] < 64, "its beginning is there, coarser than its end"
    assert (shown["count"], shown["max"], shown["min"]) == (20_000, 1.0, 0.0)
    assert shown["mean"] == pytest.approx(1 / 20_000, rel=1e-3)
    assert metric.on([(30_000, 30_001)], 0.0) == [None]


@pytest.mark.parametrize("hours", [0.5, 3, 10])
def test_the_course_of_a_long_run_is_drawn_from_its_beginning_on(hours: float) -> None:
    """In points of the history as a live page has them, and in those of the report: of one length."""
    metric, history, seconds = Metric("a", "", "cpu", "cores"), History(), hours * 3600
    away = range(int(seconds * 0.6), int(seconds * 0.7))  # it can't be read
    for second in range(0, int(seconds), 2):
        if second not in away:
            metric.add(second + 0.2, second / seconds)
        history.feed(second + 2.0, Figures(), 1)
    for points in (history.points, regular(history.points, 240)):
        spans = [(point.start, point.end) for point in points]
        drawn = metric.on(spans, 0.0)
        for (start, end), value in zip(spans, drawn, strict=True):
            if end <= away.start or start >= away.stop:
                assert value == pytest.approx((start + end) / 2 / seconds, abs=0.02), (start, end)
        assert None in drawn


def test_large_figures_are_shown_whole() -> None:
    clients = Metric("admin", "one", "clients", "")
    for number in (11_900, 12_345):
        clients.add(number / 1000, float(number))
    assert summary([clients.document(0.0)]) == ["admin one: clients 12122 (max 12345)"]
    result = evaluate(
        parse("server[admin/clients]: max < 12000"), Figures(servers=[clients]), duration=1, peak_users=1
    )
    assert result.reason == "max is 12345, not < 12000"
    lag = Metric("api", "", "event_loop_lag", "s")
    lag.add(1.0, 0.20004)
    result = evaluate(
        parse("server[api/event_loop_lag]: max < 200ms"), Figures(servers=[lag]), duration=1, peak_users=1
    )
    assert result.reason == "max is 0.20004 s, not < 0.2 s"
    assert shown(25_000.4, "/s") == "25000/s" and shown(9.9999, "s") == "10000 ms"
    assert [shown(each, "s") for each in (0.0982, 0.99996, 1.2345)] == ["98.2 ms", "1000 ms", "1234 ms"]


def test_a_counter_is_its_rate_and_may_begin_anew() -> None:
    servers = Servers()
    for at, value in ((0, 100), (2, 104), (4, 1), (6, 11), (60, 500)):
        servers.count(("a", "", "x_total"), "/s", float(at), float(value))
    (metric,) = servers.metrics()
    assert (metric.count, metric.min, metric.max, metric.total) == (2, 2.0, 5.0, 14.0)
    totals = {"/s": "14", "B/s": "14 B", "cores": "14.00 s"}
    assert {unit: shown_total(14.0, unit) for unit in totals} == totals
