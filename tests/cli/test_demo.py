"""`sioload demo` as a newcomer runs it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request

import psutil
import pytest
import serverkit
from faults.kit import isolates

ROWS = ("OPEN", "UPGRADE", "CONNECT", "CALL", "EMIT", "RECV", "PUSH", "FANOUT", "HEARTBEAT")


def test_short_demo_agrees_with_the_server(tmp_path):
    done = serverkit.run_sioload(
        ["demo", "--headless", "--run-time", "10s", "--users", "40"], 60, cwd=tmp_path,
        env={"SIOLOAD_DEMO": f"{time.time() - 20:.0f} {time.time() - 5:.0f}",  # as `make demo` gives it
             "http_proxy": "http://127.0.0.1:1", "no_proxy": ""},  # which isn't for this machine's own
    )  # fmt: skip
    assert done.code == 0, done.text
    assert "reconciled with the server: all 13 counts agree" in done.out
    began = re.search(r"load began (\d+) s after make demo, (\d+) s of which were for installing", done.out)
    assert began is not None and int(began[1]) >= 20 and int(began[2]) in (14, 15, 16), done.out
    report = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert {event["type"] for event in report["events"]} >= set(ROWS)
    assert not any(event["failures"] for event in report["events"])
    assert report["users"]["peak"] == 40
    (heard,) = report["audience"]
    assert heard["reached"] == heard["owed"] > 0
    named = re.findall(r"^(?:report|html|Locust's own report): (.*)$", done.out, re.MULTILINE)
    assert named == ["out/demo.json", "out/demo.html", "out/demo-locust.html"]
    assert all("<html" in (tmp_path / name).read_text() for name in named[1:])


@pytest.mark.verify
def test_whole_demo_has_rows_worth_looking_at(tmp_path):
    with serverkit.Process(
        serverkit.sioload(["demo", "--web-port", str(port := serverkit.free_port())]), cwd=tmp_path
    ) as process:
        process.wait_for(rf"live on http://127.0.0.1:{port}\n", 20)
        assert process.wait(90) == 0, str(process)
    events = json.loads((tmp_path / "out" / "demo.json").read_text())["events"]
    for kind in ROWS:
        least = 10 if kind == "HEARTBEAT" else 100
        assert sum(event["count"] for event in events if event["type"] == kind) >= least, kind


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.verify), signal.SIGTERM])
def test_demo_that_stays_ends_in_order(tmp_path, number):
    port = serverkit.free_port()
    args = ["demo", "--stay", "--users", "20", "--web-port", str(port)]
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
        url = process.wait_for(r"users on (\S+) until Ctrl\+C, live on", 20).group(1)
        wait_until(f"http://127.0.0.1:{port}/stats/requests", {"OPEN", "CONNECT", "CALL", "PUSH"})
        process.signal(number)
        assert process.wait(30) == 0, str(process)
        assert "reconciled with the server" in process.out
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/counts", timeout=5)


def wait_until(url: str, rows: set[str]) -> None:
    """Wait until Locust's web UI shows rows of these types."""
    deadline = time.monotonic() + 30
    shown: set[str] = set()
    while not rows <= shown:
        assert time.monotonic() < deadline, f"only {shown}"
        time.sleep(0.2)
        with contextlib.suppress(urllib.error.URLError):
            shown = {row["method"] for row in serverkit.http_json(url)["stats"]}


@pytest.mark.parametrize(
    "asked",
    [pytest.param(["/stop", "/swarm"], marks=pytest.mark.verify), ["/stats/reset"]],
    ids=["again", "reset"],
)
def test_figures_that_begin_anew_are_not_the_servers(tmp_path, asked):
    """Who presses these buttons has done nothing wrong."""
    port = serverkit.free_port()
    args = ["demo", "--stay", "--users", "10", "--web-port", str(port)]
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
        process.wait_for(r"users on (\S+) until Ctrl\+C, live on", 20)
        web = f"http://127.0.0.1:{port}"
        wait_until(f"{web}/stats/requests", {"CONNECT", "CALL", "PUSH"})
        for path in asked:
            body = b"user_count=10&spawn_rate=10" if path == "/swarm" else b""
            urllib.request.urlopen(web + path, body, timeout=20).read()
        wait_until(f"{web}/stats/requests", {"CALL", "PUSH"})
        process.signal(signal.SIGINT)
        assert process.wait(30) == 0, str(process)
        assert "not compared with the server, which counted on" in process.out, str(process)
        assert "reconciled" not in process.out


def test_a_server_that_died_is_told_and_exit_code_4(tmp_path):
    args = ["demo", "--headless", "--run-time", "4s", "--users", "5"]
    with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
        process.wait_for(r"users on (\S+) for 4s", 20)
        (server,) = [
            child for child in psutil.Process(process.pid).children() if "sioload.target" in child.cmdline()
        ]
        server.kill()
        assert process.wait(40) == 4, str(process)
        assert "exit code 4: the embedded server doesn't tell its counts any more" in process.out
        assert "Traceback" not in process.err


def test_without_a_report_the_exit_code_is_that_of_locust(tmp_path):
    (tmp_path / "locust.conf").write_text("sio-drain = never\n")
    done = serverkit.run_sioload(["demo", "--headless", "--run-time", "2s"], 30, cwd=tmp_path)
    assert done.code == 2 and "exit code 2: Locust ended without a report" in done.out, done.text


def test_figures_that_a_project_has_reset_are_whole_here(tmp_path):
    (tmp_path / "locust.conf").write_text("reset-stats = true\n")
    args = ["demo", "--headless", "--run-time", "5s", "--users", "3"]
    done = serverkit.run_sioload(args, 60, cwd=tmp_path)
    assert done.code == 0 and "reconciled with the server: all" in done.out, done.text


def test_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = serverkit.run_sioload(["demo", "--web-port", str(port)], 20, cwd=tmp_path)
    assert done.code == 2, done.text
    assert f"port {port} of 127.0.0.1 is taken" in done.err and "--web-port" in done.err
    assert not (tmp_path / "out").exists()


def test_a_port_that_cannot_be_used_is_not_told_as_taken(tmp_path):
    """Nor is there a port above the last one."""
    with socket.socket() as last:
        with contextlib.suppress(OSError):  # it is taken then
            last.bind(("127.0.0.1", 65535))
            last.listen()
        done = serverkit.run_sioload(["demo", "--web-port", "65535"], 20, cwd=tmp_path)
    assert done.code == 2 and "is taken" in done.err and "65536" not in done.err, done.text
    if not isolates():
        serverkit.missing("a network namespace", "run as root (in a container: --privileged)")
    unable = ["unshare", "--net", "setpriv", "--bounding-set=-net_bind_service"]
    argv = [*unable, *serverkit.sioload(["demo", "--web-port", "80"])]
    done = serverkit.run(argv, 20, cwd=tmp_path)
    assert done.code == 2 and "port 80 of 127.0.0.1 can't be used (Permission denied)" in done.err, done.text
