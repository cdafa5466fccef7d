"""sioload in somebody's test suite: the fixture `sio`, `sioload.run`, and tests that use neither."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import serverkit

BYSTANDER = """
import socket, ssl, sys, threading

def test_nothing_of_ours_is_loaded():
    assert not {"gevent", "locust", "sioload.client", "sioload.swarm"} & sys.modules.keys()

def test_a_client_patches_nothing(sio):
    assert "gevent" in sys.modules and "locust" not in sys.modules
    assert socket.socket.__module__ == "socket" and ssl.SSLContext.__module__ == "ssl"
    assert threading.Lock.__module__ != "gevent.lock" and threading.Thread.start.__module__ == "threading"
"""

FUNCTIONAL = """
import pytest
from sioload import AckTimeout, ConnectError

URL = {url!r}

def test_a_message_reaches_the_other(sio):
    other = sio.another_client()
    sio.connect(URL)
    other.connect(URL, transports=["websocket"])
    with other.expect("message", timeout=5) as heard:
        assert sio.call("message", {{"text": "hi"}}) == {{"ok": True}}
    assert heard.args["text"] == "hi"

@pytest.fixture
def sio_options():
    return {{"transports": ["websocket"], "reconnection": False}}

def test_what_the_test_expects_may_fail(sio):
    with pytest.raises(ConnectError):
        sio.connect(URL, namespaces="/chat", auth={{"token": "wrong"}})
    sio.connect(URL)
    assert sio.transport == "websocket"
    with pytest.raises(AckTimeout):
        sio.call("delay", 2.0, timeout=0.1)

def test_a_handler_that_raises(sio):
    sio.connect(URL)
    sio.on("message", lambda message: message["missing"])
    sio.call("message", {{"text": "hi"}})
    sio.sleep(0.2)

def test_an_ack_that_nobody_sends(sio):
    sio.connect(URL)
    sio.emit("nobody listens", callback=print)
    sio.fleet.patience = 0.1
"""

LOAD = """
import pytest, sioload

@pytest.fixture(scope="module")
def report():
    return sioload.run({script!r}, users=3, run_time=2, host={url!r}, checks=["CALL: p99 < 5s after 1s"])

def test_it_holds(report):
    assert report.exit_code == 0, report.exit_reason
    assert 0 < report["CALL echo"].p50 <= report["CALL echo"].p99 < 5
    row = report["CALL echo"]
    assert row.p50 <= row.percentile(75) <= row.percentile(100)
    with pytest.raises(sioload.UsageError, match="no percentile 101: give 0 to 100"):
        row.percentile(101)
    report.check("CALL: fail_ratio < 1%")
    report.check("CALL: p99 < 5s after 1s")

def test_it_is_fast_enough(report):
    report.check("CALL[echo]: p99 < 1us")

def test_the_load_is_what_was_asked_for_or_the_locustfiles_own():
    report = sioload.run({script!r}, run_time=1, host={url!r})
    assert report.data["users"]["asked"] == 1 and report.data["duration_s"] < 10
    assert ", 1 user, " in repr(report) and "polling: 1 sample, 0 failed" in repr(report["OPEN polling"])
    report = sioload.run({script!r}, host={url!r}, args=["-u3", "--spawn-rate", "3", "--run-time", "1s"])
    assert report.data["users"]["asked"] == 3 and report.data["duration_s"] < 10
    for more in ({{}}, {{"phases": "a: 1 users for 1s; b: 2 users for 1s"}}):
        report = sioload.run({phased!r}, host={url!r}, **more)
        assert [phase["name"] for phase in report.data["phases"]] == ["a", "b"]
        assert report.data["users"]["asked"] == 2
    with pytest.raises(sioload.UsageError, match="-u and phases exclude each other"):
        sioload.run({phased!r}, users=3, host={url!r})

def test_bad_usage_is_said():
    with pytest.raises(sioload.UsageError, match="nearest: 'p99'"):
        sioload.run({script!r}, users=1, run_time=1, checks=["CALL: p9x < 1s"])
    with pytest.raises(sioload.UsageError, match="leave users= and run_time= out"):
        sioload.run({script!r}, users=1, phases="1 users for 1s")
    for time in (0, 0.0, -0.5, "0s", -1, "-1s", "soon", float("nan"), float("inf"), True):
        with pytest.raises(sioload.UsageError, match="is no time"):
            sioload.run({script!r}, run_time=time)
    for users in (0, -1):
        with pytest.raises(sioload.UsageError, match=f"users={{users}} is too few: give 1 or more"):
            sioload.run({script!r}, users=users, run_time=1, host={url!r})
    with pytest.raises(sioload.UsageError, match="processes=-2 is too few"):
        sioload.run({script!r}, run_time=1, host={url!r}, processes=-2)
    for more, said in (
        ({{"users": "20"}}, "users='20' is no whole number"),
        ({{"users": 1.5}}, "users=1.5 is no whole number"),
        ({{"processes": True}}, "processes=True is no whole number"),
        ({{"env": {{"ROOMS": 5}}}}, "env: ROOMS=5 is no text: give '5'"),
        ({{"env": 5}}, "env must be a dict of texts, not 5"),
        ({{"checks": 5}}, "checks must be a list of texts, not 5"),
        ({{"phases": ["1 users for 1s"], "run_time": None}}, "phases must be one text, .* not ..1 users"),
        ({{"args": ["--worker"]}}, "leave --worker out"),
        ({{"host": "here"}}, "^sioload: Echo: url 'here' must begin with http://"),
        ({{"args": ["--help"]}}, "--help makes no load: give it to locust itself"),
    ):
        with pytest.raises(sioload.UsageError, match=said):
            sioload.run({script!r}, **{{"run_time": 1, "host": {url!r}, **more}})
    with pytest.raises(sioload.UsageError, match="there is no locustfile nothing.py"):
        sioload.run("nothing.py")
    with pytest.raises(sioload.UsageError, match="plain.py doesn't import sioload.*'import sioload'"):
        sioload.run({plain!r}, run_time=1, host={url!r})
    with pytest.raises(sioload.UsageError, match="checks is a list of texts"):
        sioload.run({script!r}, checks="CALL: p99 < 1s")
    for given in (["--sio-report", "a.json"], ["--sio-report=a.json"]):
        with pytest.raises(sioload.UsageError, match="leave --sio-report out"):
            sioload.run({script!r}, run_time=1, args=given)
"""

SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser

class Echo(SocketIOUser):
    wait_time = constant(0.1)

    @task
    def echo(self):
        self.sio.call("echo", 1)
"""


PLAIN = """
from locust import HttpUser, task

class Getter(HttpUser):
    @task
    def get(self):
        self.client.get("/")
"""

PHASES = """
from sioload import Phases

class Plan(Phases):
    phases = ["a: 1 users for 1s", "b: 2 users for 1s"]
"""


def test_a_suite_of_somebody_elses(target: serverkit.Server, tmp_path: Path) -> None:
    script = tmp_path / "load" / "echo.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    phased = script.with_name("phased.py")
    phased.write_text(f"{SCRIPT}\n{PHASES}")
    plain = script.with_name("plain.py")
    plain.write_text(PLAIN)
    (tmp_path / "locust.conf").write_text("users = 7\nrun-time = 1m\n")  # of those who test by hand
    (tmp_path / "test_1_bystander.py").write_text(BYSTANDER)
    (tmp_path / "test_2_functional.py").write_text(FUNCTIONAL.format(url=target.url))
    load = LOAD.format(url=target.url, script=str(script), phased=str(phased), plain=str(plain))
    (tmp_path / "test_3_load.py").write_text(load)
    # Without the plugins of this environment but ours, and with warnings as errors.
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "sioload",
        "-W",
        "error",
        "-rfE",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "COLUMNS": "200"}
    done = serverkit.run(argv, 110, cwd=tmp_path, env=env)
    assert re.search(r"1 failed, \d+ passed, 2 errors", done.out, re.MULTILINE), done.text
    failed = dict(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+) - (.*)$", done.out, re.MULTILINE))
    assert set(failed) == {
        "test_it_is_fast_enough", "test_a_handler_that_raises", "test_an_ack_that_nobody_sends"
    }, done.text  # fmt: skip
    fast = r"AssertionError: CALL\[echo\]: p99 < 1us: p99 is [\d.]+ ms, not < 0.001 ms"
    assert re.fullmatch(fast, failed["test_it_is_fast_enough"]), done.text
    assert failed["test_a_handler_that_raises"] == "KeyError: 'missing'", done.text
    assert "nobody listens: " in failed["test_an_ack_that_nobody_sends"], done.text


def test_a_run_ends_with_whoever_waits_for_it(target: serverkit.Server, tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text(SCRIPT)
    suite = f"import sioload; sioload.run({str(script)!r}, run_time=60, users=3, host={target.url!r})"
    with serverkit.Process([sys.executable, "-c", suite], fresh=True) as process:
        until(lambda: target.counts()["sessions"] == 3)
        process.signal(signal.SIGKILL)
        until(lambda: target.counts()["sessions"] == 0)


IMPATIENT = """
import gevent

class Slow(Echo):
    def on_stop(self):
        print("stopping", flush=True)
        gevent.sleep(60)
"""


def test_ctrl_c_once_more_hurries_a_run_which_is_over_when_the_program_goes_on(
    target: serverkit.Server, tmp_path: Path
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SCRIPT + IMPATIENT)
    program = f"""
import signal, sioload
try:
    sioload.run({str(script)!r}, run_time=60, host={target.url!r}, args=["Slow", "--stop-timeout", "60"])
except KeyboardInterrupt:
    print("interrupted", flush=True)
signal.pause()  # as a notebook goes on
"""
    with serverkit.Process([sys.executable, "-c", program], fresh=True) as process:
        until(lambda: target.counts()["sessions"] == 1)
        process.signal(signal.SIGINT)
        process.wait_for("stopping", 20)
        process.signal(signal.SIGINT)
        process.wait_for("interrupted", 20)
        assert "exit code 0" in process.out, str(process)  # the run's summary: it had ended
        assert target.counts()["sessions"] == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
