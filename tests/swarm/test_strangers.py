"""Workers that don't belong to a master: of a run before it, or with another locustfile."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import serverkit
from swarmkit import Swarm, scene

SCRIPT = """
from locust import constant, task
from sioload import SocketIOUser

class {name}(SocketIOUser):
    weight = {weight}
    wait_time = constant(0.1)
    options = {{"transports": ["websocket"], "version": 4}}

    @task
    def talk(self):
        self.sio.call("echo", 1, name="{name}")
"""
SESSIONS = """
from sioload import Arrivals

class Load(Arrivals):
    rate = 8
    session_length = 1
    duration = 4
"""


def written(swarm: Swarm, file: str, *names: str, more: str = "") -> Path:
    path = swarm.folder / file
    path.write_text(
        "".join(SCRIPT.format(name=name, weight=1 + 2 * (name == "Beta")) for name in names) + more
    )
    return path


@scene
def test_users_of_a_master_that_was_killed_dont_count_in_the_next_ones_run(swarm: Swarm) -> None:
    """They went on, and the new master, on the same port, took their figures for its own users'."""
    port = serverkit.swarm_ports()
    load = ["--host", swarm.target.url, "--headless", "-u", "4", "-r", "4", "--master", *port]
    worker = ["--worker", "--master-host", "127.0.0.1", *port[-2:]]
    before, now = written(swarm, "before.py", "Before"), written(swarm, "now.py", "Now")
    first = swarm.start(["-f", before, "--expect-workers", "1", *load])
    stranger = swarm.start(["-f", before, *worker])
    first.wait_for(serverkit.SPAWNED, 40)
    first.popen.kill()
    report = ["--sio-report", swarm.folder / "report.json", "--csv", swarm.folder / "run"]
    second = swarm.start(["-f", now, "--expect-workers", "1", *load, *report])
    second.wait_for("users of another run than this master's", 40)
    assert stranger.wait(20) == 0, str(stranger)
    swarm.start(["-f", now, *worker])
    second.wait_for(serverkit.SPAWNED, 40)
    second.wait_for("CALL +Now", 20)
    second.signal(signal.SIGINT)
    assert second.wait(40) == 0, "\n".join(map(str, swarm.processes))
    said = swarm.report
    assert said["workers"] == {"expected": 1, "lost": 0} and said["users"]["peak"] == 4, str(second)
    assert {name for kind, name in swarm.counts() if kind == "CALL"} == {"Now"}, str(second)
    assert swarm.csv_counts() == swarm.counts(), str(second)


def lacking(swarm: Swarm, more: str, *load: str) -> None:
    """One of two workers has a locustfile without a class of the master's."""
    both, one = (
        written(swarm, "both.py", "Alpha", "Beta", more=more),
        written(swarm, "one.py", "Alpha", more=more),
    )
    port = serverkit.swarm_ports()
    args = ["--host", swarm.target.url, "--headless", "--sio-report", swarm.folder / "report.json", *load]
    master = swarm.start(["-f", both, "--master", *port, "--expect-workers", "2", *args])
    worker = ["--worker", "--master-host", "127.0.0.1", *port[-2:]]
    swarm.start(["-f", both, *worker])
    swarm.start(["-f", one, *worker])
    assert master.wait(60) == 4, "\n".join(map(str, swarm.processes))
    said = swarm.report
    fault = "the locustfile here has no user class Beta, which the master's has: none of those began"
    assert [fault in text for text in said["untrusted"]] == [True], said["untrusted"]
    assert fault in said["exit_reason"]
    assert {name for kind, name in swarm.counts() if kind == "CALL"} == {"Alpha", "Beta"}, str(master)
    assert "Traceback" not in "".join(process.err for process in swarm.processes)
    assert said["ledger"]["emits"] == said["ledger"]["acked"] > 0 and said["workers"]["lost"] == 0


@scene
def test_a_worker_whose_locustfile_lacks_a_class_is_named(swarm: Swarm) -> None:
    """It began no user at all, and the run ended as if all were fine."""
    lacking(swarm, "", "-u", "8", "-r", "8", "-t", "4s")
    classes = {each["class"]: each for each in swarm.report["users"]["classes"]}
    assert (classes["Alpha"]["ran"], classes["Beta"]["asked"]) == (2, 6)
    assert classes["Beta"]["ran"] in (2, 4), "each worker was to have some"


@scene
def test_a_worker_that_lacks_a_class_of_sessions_is_named(swarm: Swarm) -> None:
    lacking(swarm, SESSIONS)


PLAIN = """
from locust import User, constant, task

class Alpha(User):
    wait_time = constant(0.1)

    @task
    def work(self):
        self.environment.events.request.fire(request_type="X", name="plain", response_time=1.0,
                                             response_length=0, exception=None, context={})
"""


@scene
def test_a_worker_without_sioload_is_named_and_not_waited_for(swarm: Swarm) -> None:
    """It was asked for its last report for 15 seconds, and then called lost."""
    ours, plain = written(swarm, "ours.py", "Alpha"), swarm.folder / "plain.py"
    plain.write_text(PLAIN)
    port = serverkit.swarm_ports()
    args = ["--host", swarm.target.url, "--headless", "--sio-report", swarm.folder / "report.json"]
    load = ["-u", "4", "-r", "4", "-t", "6s", "--expect-workers", "2"]
    master = swarm.start(["-f", ours, "--master", *port, *args, *load])
    worker = ["--worker", "--master-host", "127.0.0.1", *port[-2:]]
    swarm.start(["-f", ours, *worker])
    stranger = swarm.start(["-f", plain, *worker])
    assert master.wait(60) == 4, "\n".join(map(str, swarm.processes))
    (fault,) = swarm.report["untrusted"]
    assert "has users and no sioload: its locustfile doesn't import it" in fault, fault
    assert swarm.report["workers"] == {"expected": 2, "lost": 0}
    assert "didn't report its end in time" not in master.err
    assert stranger.err.count("sioload_stop") <= 1, str(stranger)


@scene
def test_a_worker_with_another_version_is_named_with_the_remedy(swarm: Swarm) -> None:
    """Each of its reports was an `internal error: TypeError` of its own, with a traceback."""
    other = swarm.folder / "other"
    copied = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(serverkit.ROOT / "sioload", other / "sioload", ignore=copied)
    health = other / "sioload" / "measure" / "health.py"
    field = "    estimated: bool = False\n"
    before = health.read_text()
    assert before.count(field) == 1
    health.write_text(before.replace(field, f"{field}    of_tomorrow: int = 0\n"))
    script, port = written(swarm, "ours.py", "Alpha"), serverkit.swarm_ports()
    args = ["--host", swarm.target.url, "--headless", "--sio-report", swarm.folder / "report.json"]
    load = ["-u", "4", "-r", "4", "-t", "4s", "--expect-workers", "2", "--csv", swarm.folder / "run"]
    master = swarm.start(["-f", script, "--master", *port, *args, *load])
    worker = ["-f", script, "--worker", "--master-host", "127.0.0.1", *port[-2:]]
    swarm.start(worker)
    swarm.start(worker, {"PYTHONPATH": str(other)})
    assert master.wait(60) == 4, "\n".join(map(str, swarm.processes))
    (fault,) = swarm.report["untrusted"]
    assert "it has another version of sioload than the master. Install the same on both" in fault, fault
    assert "Traceback" not in master.err, master.err
    assert swarm.csv_counts() == swarm.counts(), str(master)


FED = """
from locust import task
from sioload import SocketIOUser, feed

accounts = feed("accounts.csv")

class Alpha(SocketIOUser):
    options = {"reconnection_attempts": 0}

    def on_start(self):
        accounts.take(self)
        self.sio.connect()

    @task
    def talk(self): ...
"""


@scene
def test_users_who_ask_a_master_without_feeds_for_a_row_are_told(swarm: Swarm) -> None:
    """They waited for ever, and the run without a single session ended as if all were fine."""
    ours, fed = written(swarm, "ours.py", "Alpha"), swarm.folder / "fed.py"
    fed.write_text(FED)
    port = serverkit.swarm_ports()
    args = ["--host", swarm.target.url, "--headless", "--sio-report", swarm.folder / "report.json"]
    master = swarm.start(
        ["-f", ours, "--master", *port, "--expect-workers", "1", "-u", "2", "-t", "4s", *args]
    )
    swarm.start(["-f", fed, "--worker", "--master-host", "127.0.0.1", *port[-2:]])
    assert master.wait(60) == 1, "\n".join(map(str, swarm.processes))
    told = "accounts.csv: no such feed where the rows are handed out: the locustfiles differ"
    assert told in swarm.report["exit_reason"], swarm.report["exit_reason"]
