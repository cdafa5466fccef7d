"""Tests that are started and stopped in Locust's web UI, one after the other in the same processes."""

from __future__ import annotations

import html
import threading
import time
import urllib.parse
import urllib.request
from typing import Any

import serverkit
from swarmkit import USERS, Counts, Swarm, scene, web_counts


class WebUi:
    """A browser's part."""

    def __init__(self, swarm: Swarm, *more: str, **env: str) -> None:
        port = serverkit.free_port()
        self.swarm = swarm
        self.url = f"http://127.0.0.1:{port}"
        args = [arg for arg in swarm.args() if arg not in ("--headless", "--only-summary")]
        web = ["--web-host", "127.0.0.1", "--web-port", str(port)]
        self.process = swarm.start([*args, *web, *more], {"SLOW_CALL": "1", "SLOW_STOP": "1", **env})

    def post(self, path: str, **form: Any) -> None:
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{self.url}{path}", data, timeout=30) as answer:
            assert answer.status == 200

    def rows(self) -> Counts:
        """Counts and failures per row, as the page shows them; its answers are up to 2 s old."""
        time.sleep(2.1)
        return web_counts(serverkit.http_json(f"{self.url}/stats/requests")["stats"])

    def until(self, state: str) -> None:
        for _ in range(100):
            if serverkit.http_json(f"{self.url}/stats/requests")["state"] == state:
                return
            time.sleep(0.1)
        raise AssertionError(f"never {state}: {self.process}")

    def start(self, workers: int) -> None:
        self.process.wait_for("(?s)" + "reported as ready.*" * workers, 20)
        self.process.wait_for("Starting web interface", 20)
        for _ in range(50):
            try:
                return self.post("/swarm", user_count=10, spawn_rate=10, host=self.swarm.target.url)
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no web UI: {self.process}")


@scene
def test_two_tests_and_a_reset(swarm: Swarm) -> None:
    two_tests_and_a_reset(swarm, workers=0)


@scene
def test_two_tests_and_a_reset_on_workers(swarm: Swarm) -> None:
    two_tests_and_a_reset(swarm, workers=2)


@scene
def test_a_stop_counts_although_the_test_waits_for_the_end_of_the_one_before(swarm: Swarm) -> None:
    web = WebUi(swarm, OWED="3")
    web.start(0)
    web.until("running")
    time.sleep(1)
    web.post("/stop")  # for three seconds more there are answers to come
    web.start(0)
    web.post("/stop")
    web.until("stopped")
    assert sum(swarm.target.counts()["connects"].values()) == 10, str(web.process)
    web.process.signal(serverkit.signal.SIGINT)
    assert web.process.wait(30) == 0, str(web.process)
    assert swarm.report["users"]["peak"] == 10 and swarm.report["untrusted"] == [], str(web.process)


@scene
def test_a_test_that_is_to_begin_while_one_ends_has_figures_of_its_own(swarm: Swarm) -> None:
    begin_while_one_ends(swarm, workers=0)


@scene
def test_a_test_that_is_to_begin_while_one_ends_has_figures_of_its_own_on_workers(swarm: Swarm) -> None:
    begin_while_one_ends(swarm, workers=2)


def begin_while_one_ends(swarm: Swarm, *, workers: int) -> None:
    more = ["--processes", str(workers)] if workers else []
    web = WebUi(swarm, *more, OWED="3")
    web.start(workers)
    web.until("running")
    time.sleep(1)
    stop = threading.Thread(target=web.post, args=("/stop",))
    stop.start()
    time.sleep(1)  # its users are about to be gone, and for three seconds there are answers to come
    web.start(workers)
    stop.join()
    deadline = time.monotonic() + 20
    while sum(swarm.target.counts()["connects"].values()) < 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    web.post("/stop")
    web.until("stopped")
    web.process.signal(serverkit.signal.SIGINT)
    assert web.process.wait(30) == 0, str(web.process)
    assert swarm.report["users"]["peak"] == 10 and swarm.report["untrusted"] == [], str(web.process)
    counts = swarm.counts()
    assert counts["CONNECT", "/"] == counts["DISCONNECT", "client"] == (10, 0), str(web.process)
    assert counts == swarm.csv_counts() == swarm.html_counts() == swarm.printed_counts(), str(web.process)


@scene
def test_who_looks_while_a_test_ends_sees_no_worker_lost(swarm: Swarm) -> None:
    web = WebUi(swarm, "--processes", "2", OWED="3")
    web.start(2)
    web.process.wait_for(serverkit.SPAWNED, 20)
    time.sleep(4)  # workers report every three seconds
    stop = threading.Thread(target=web.post, args=("/stop",))
    stop.start()
    time.sleep(1.5)
    seen = serverkit.http_json(f"{web.url}/sioload/report.json")
    stop.join()
    assert seen["final"] is False and seen["untrusted"] == [] and seen["workers"]["lost"] == 0
    assert sum(seen["connections"]["current"].values()) == 10, str(web.process)


@scene
def test_a_worker_that_is_lost_stands_in_the_tab_while_the_run_goes_on(swarm: Swarm) -> None:
    ports = serverkit.swarm_ports()
    web = WebUi(swarm, "--master", "--expect-workers", "2", *ports)
    workers = [swarm.start(["-f", USERS, "--worker", *ports]) for _ in range(2)]
    web.start(2)
    web.process.wait_for(serverkit.SPAWNED, 20)
    workers[0].popen.kill()
    lost = web.process.wait_for(r"worker \S+ was lost", 30)[0]
    time.sleep(3)  # until what is shown is made anew
    (tab,) = serverkit.http_json(f"{web.url}/stats/requests")["extended_stats"]
    told = [row["notes"] for row in tab["data"] if row["kind"] == "UNTRUSTED"]
    assert len(told) == 1 and lost in told[0], told
    with urllib.request.urlopen(f"{web.url}/sioload/", timeout=30) as page:
        assert f"can't be trusted: {told[0]}" in html.unescape(page.read().decode())


READERS = """
import gevent
from locust import constant, task
from sioload import SocketIOUser, feed

rows = feed([{"n": 1}])

class Reader(SocketIOUser):
    wait_time = constant(0.1)
    options = {"transports": ["websocket"], "version": 4}

    @task
    def read(self):
        self.sio.call("delay", 0.5, name="before")
        self.sio.call("echo", next(rows)["n"], name="after")

class Sleeper(Reader):
    fixed_count = SLEEPERS

    @task
    def read(self):
        gevent.sleep(600)
"""


def readers(swarm: Swarm, sleepers: int, stop_timeout: int) -> WebUi:
    """A running test of readers on a worker, all of whom, or none, sleep."""
    script = swarm.folder / "readers.py"
    script.write_text(READERS.replace("SLEEPERS", str(sleepers)))
    more = ["--stop-timeout", str(stop_timeout), "--processes", "1"]
    web = WebUi(swarm, "-f", str(script), *more)
    web.start(1)
    web.until("running")
    time.sleep(1)
    return web


@scene
def test_users_whom_a_worker_stops_get_rows_still(swarm: Swarm) -> None:
    """Locust stops them in the greenlet that receives what the master answers."""
    web = readers(swarm, sleepers=0, stop_timeout=4)
    web.post("/stop")
    web.until("stopped")
    web.process.signal(serverkit.signal.SIGINT)
    assert web.process.wait(30) == 0, str(web.process)
    counts = swarm.counts()
    assert counts["CALL", "before"] == counts["CALL", "after"], str(web.process)
    assert counts["CALL", "before"][0] >= 10 and swarm.report["untrusted"] == []


@scene
def test_a_stop_that_takes_its_time_can_be_hurried_on_workers(swarm: Swarm) -> None:
    web = readers(swarm, sleepers=10, stop_timeout=600)
    stop = threading.Thread(target=web.post, args=("/stop",), daemon=True)
    stop.start()
    for _ in range(2):
        time.sleep(1)
        web.process.signal(serverkit.signal.SIGINT)
    assert web.process.wait(40) == 0, str(web.process)
    assert swarm.report["users"]["peak"] == 10 and swarm.report["untrusted"] == [], str(web.process)


def two_tests_and_a_reset(swarm: Swarm, *, workers: int) -> None:
    more = ["--processes", str(workers)] if workers else []
    web = WebUi(swarm, *more)
    web.start(workers)
    web.until("running")
    time.sleep(1)
    assert web.rows()["CALL", "echo"][0] > 10  # seen live
    web.post("/stop")
    web.until("stopped")
    first, server = web.rows(), swarm.target.counts()
    assert first["EMIT", "echo"][0] + first["CALL", "echo"][0] == server["received"]["/"]["echo"]
    assert first["CALL", "delay"][0] == server["acks"]["/"]["delay"]

    swarm.target.reset()
    web.start(workers)
    web.until("running")
    time.sleep(1.5)  # all have connected
    web.post("/stats/reset")
    time.sleep(3)
    web.post("/stop")
    web.until("stopped")
    rows = web.rows()
    assert ("CONNECT", "/") not in rows or rows["CONNECT", "/"] == (0, 0)
    web.process.signal(serverkit.signal.SIGINT)
    assert web.process.wait(30) == 0, str(web.process)
    report = swarm.report
    assert swarm.counts() == {row: counts for row, counts in rows.items() if counts != (0, 0)}, str(
        web.process
    )
    assert report["untrusted"] == [] and report["ledger"]["open"] == 0
    assert 0 < report["ledger"]["emits"] < sum(swarm.target.counts()["received"]["/"].values())
    assert report["workers"] == {"expected": workers, "lost": 0}
