"""At the end of a run `on_stop` and listeners have their say, as long as Locust lets them."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
import serverkit
from swarmkit import Swarm, scene

SCRIPT = Path(__file__).parent / "leavers.py"
USERS = 5


def args(swarm: Swarm, *more: str) -> list[str | Path]:
    found = swarm.args(*more, users=USERS)
    found[1] = SCRIPT
    return found


def assert_everything_was_said(swarm: Swarm, *, listeners: int = 3) -> None:
    swarm.assert_everything_agrees()
    counts, process = swarm.counts(), swarm.processes[0]
    assert counts["EMIT", "bye"] == counts["CALL", "left"] == (USERS, 0), str(process)
    assert counts["CALL", "room closed"][1] == 0 and counts["CALL", "chatter"][1] == 0
    errors = "".join(process.err for process in swarm.processes)
    assert errors.count("on_stop done") == errors.count("chatter ended") == USERS, errors
    assert errors.count("listener done") == counts["CALL", "room closed"][0] == listeners, errors
    assert errors.count("got RunEnded") == 2 * listeners, errors
    assert "chatter got" not in errors and "Traceback" not in errors and "internal error" not in errors, (
        errors
    )


@scene
def test_all_is_said_when_the_run_time_is_over(swarm: Swarm) -> None:
    assert swarm.run(args(swarm, "-t", "2s")) == 0
    assert_everything_was_said(swarm)


@scene
def test_all_is_said_within_a_stop_timeout(swarm: Swarm) -> None:
    assert swarm.run(args(swarm, "-t", "2s", "--stop-timeout", "8")) == 0
    assert_everything_was_said(swarm)


@scene
def test_all_is_said_after_sigint(swarm: Swarm) -> None:
    process = swarm.start(args(swarm))
    assert swarm.interrupt(process, signal.SIGINT, after=1) == 0, str(process)
    assert_everything_was_said(swarm)


@scene
def test_all_is_said_on_workers(swarm: Swarm) -> None:
    port = serverkit.swarm_ports()
    assert swarm.run(args(swarm, "-t", "5s", "--processes", "2", *port)) == 0, str(swarm.processes[0])
    assert_everything_was_said(swarm, listeners=6)


@scene
def test_a_task_may_quit(swarm: Swarm) -> None:
    """Locust stops the user whose task that is, in the middle of it, with all that it does for the task."""
    assert swarm.run(args(swarm), {"ENDER": "quit"}) == 0, str(swarm.processes[0])
    swarm.assert_everything_agrees()
    errors = swarm.processes[0].err
    assert errors.count("on_stop done") == USERS, errors
    assert errors.count("got RunEnded") == 6 and "internal error" not in errors, errors


@scene
def test_a_signal_at_the_moment_when_the_run_time_is_over(swarm: Swarm) -> None:
    process = swarm.start(args(swarm, "-t", "2s"))
    process.wait_for("--run-time limit reached", 30)
    process.signal(signal.SIGINT)
    assert process.wait(30) == 0, str(process)
    assert_everything_was_said(swarm)


@scene
def test_each_more_signal_only_hurries(swarm: Swarm) -> None:
    """SIGTERM makes Locust end the process once more, from another greenlet."""
    process = swarm.start(args(swarm, "--stop-timeout", "20"))
    process.wait_for(serverkit.SPAWNED, 20)
    time.sleep(1)
    process.signal(signal.SIGTERM)
    time.sleep(0.2)
    process.signal(signal.SIGTERM)
    assert process.wait(20) in (1, 2), str(process)  # open calls fail, and so do listeners that call too late
    assert process.err.count("Shutting down") == 1 and "internal error" not in process.err, str(process)
    assert swarm.report["untrusted"] == [] and swarm.report["ledger"]["open"] == 0
    received = swarm.target.counts()["received"]["/"]
    assert sum(received.values()) == swarm.report["ledger"]["emits"], str(process)


@scene
def test_an_interrupt_that_locust_takes_for_the_end_of_a_shape_alone(swarm: Swarm) -> None:
    """With `--autostart` its web UI stays, and may start another run: the next interrupt is a first again."""
    port = serverkit.free_port()
    found = args(swarm, "--autostart", "--web-host", "127.0.0.1", "--web-port", str(port),
                 "--sio-phases", f"{USERS} users for 60s")  # fmt: skip
    process = swarm.start([arg for arg in found if arg not in ("--headless", "-u", "-r", str(USERS))])

    def until(state: str) -> None:
        deadline = time.monotonic() + 30
        while serverkit.http_json(f"http://127.0.0.1:{port}/stats/requests")["state"] != state:
            assert time.monotonic() < deadline, f"never {state}: {process}"
            time.sleep(0.1)

    process.wait_for("phase 1 of 1", 30)
    process.signal(signal.SIGINT)
    process.wait_for("leaving web ui running", 30)
    until("stopped")
    serverkit.http_json(f"http://127.0.0.1:{port}/swarm", method="POST")
    until("running")
    process.signal(signal.SIGINT)
    assert process.wait(30) == 0, str(process)


OWED = """
from locust import constant, task
from sioload import SocketIOUser

class Asker(SocketIOUser):
    wait_time = constant(0.5)
    options = {"transports": ["websocket"], "version": 4}

    @task
    def ask(self):
        self.sio.emit("delay", 7, callback=lambda *took: None)
"""


@scene
def test_a_hurried_end_hurries_no_end_of_a_later_test(swarm: Swarm) -> None:
    """The web UI stays, and the acks of the next test take longer than a hurried one would wait for."""
    script, port = swarm.folder / "owed.py", serverkit.free_port()
    script.write_text(OWED)
    web = ["--autostart", "--web-host", "127.0.0.1", "--web-port", str(port)]
    plan = ["--sio-phases", "2 users for 60s", "--sio-drain", "15"]
    found = swarm.args(*web, *plan, "--processes", "1", users=3)
    found[1] = script
    process = swarm.start([arg for arg in found if arg not in ("--headless", "-u", "-r", "3")])
    process.wait_for("phase 1 of 1", 30)
    while not serverkit.total(swarm.target.counts()["received"], "delay"):
        time.sleep(0.05)
    for _ in range(2):
        process.signal(signal.SIGINT)
        time.sleep(1.5)  # in the first second it may be the same one
    process.wait_for("leaving web ui running", 30)
    serverkit.http_json(f"http://127.0.0.1:{port}/swarm", method="POST")
    process.wait_for("(?s)phase 1 of 1.*phase 1 of 1", 30)
    time.sleep(1)
    process.signal(signal.SIGTERM)
    assert process.wait(40) == 0, str(process)
    ledger = swarm.report["ledger"]
    assert ledger["emits"] == ledger["acked"] > 2, str(process)


def take_terminal() -> None:
    """In a child: its standard input is its terminal, whose end it isn't deaf to, whatever the parent is."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("workers", [[], ["--processes", "2"]])
def test_a_terminal_that_is_closed_ends_a_run_in_order(tmp_path: Path, workers: list[str]) -> None:
    ours, theirs = pty.openpty()
    with serverkit.running("target") as target:
        swarm = Swarm(tmp_path, target)
        command = serverkit.locust(swarm.args("-t", "60s", "--logfile", "log", *workers, users=4))
        run = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=serverkit.environment(None),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(theirs)
        try:
            shown = b""
            while b"4 users  4 open" not in shown:
                shown += os.read(ours, 4096)
            os.close(ours)
            assert run.wait(30) == 0, shown
        finally:
            run.kill()
        log, report = (tmp_path / "log").read_text(), swarm.report
        assert "Traceback" not in log, log
        assert (report["exit_code"], report["ended_by"], report["untrusted"]) == (0, "SIGHUP", []), log
        ledger, received = report["ledger"], sum(target.counts()["received"]["/"].values())
        assert ledger["emits"] == ledger["acked"] + ledger["sent"] == received > 0, log


def test_a_run_that_is_to_outlive_its_terminal_does(tmp_path: Path) -> None:
    """`nohup` has it ignore the signal."""
    with serverkit.running("target") as target:
        swarm = Swarm(tmp_path, target)
        command = ["nohup", *serverkit.locust(swarm.args("-t", "3s"))]
        with serverkit.Process(command, cwd=tmp_path) as process:
            process.wait_for(serverkit.SPAWNED, 30)
            process.signal(signal.SIGHUP)
            assert process.wait(30) == 0, str(process)
        assert "ended_by" not in swarm.report


@scene
def test_an_interrupt_while_the_locustfile_is_imported_is_one_line(swarm: Swarm) -> None:
    file = swarm.folder / "slow.py"
    file.write_text("import sys, sioload\nprint('importing', file=sys.stderr)\nwhile True: pass\n")
    found = args(swarm, "-t", "2s")
    found[1] = file
    process = swarm.start(found)
    process.wait_for("importing", 20)
    process.signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT, str(process)
    assert process.err == "importing\nsioload: interrupted before the run began\n", str(process)


@scene
def test_an_interrupt_that_waits_for_nothing_more_leaves_no_traceback(swarm: Swarm) -> None:
    file = swarm.folder / "lingers.py"
    file.write_text(
        "import sys, gevent\nfrom locust import constant, events, task\nfrom sioload import SocketIOUser\n"
        "class Quiet(SocketIOUser):\n    wait_time = constant(1)\n    @task\n    def rest(self): ...\n"
        "@events.quitting.add_listener\n"
        "def linger(**_):\n    print('lingers', file=sys.stderr)\n    gevent.sleep(60)\n"
    )
    found = args(swarm)
    found[1] = file
    process = swarm.start(found)
    process.wait_for(serverkit.SPAWNED, 20)
    process.signal(signal.SIGINT)
    process.wait_for("lingers", 20)
    for _ in range(2):
        process.signal(signal.SIGINT)
        time.sleep(0.5)  # two at once are one
    assert process.wait(20) in (130, -signal.SIGINT), str(process)
    assert "sioload: interrupted" in process.err and "Traceback" not in process.err, str(process)


@scene
def test_an_interrupt_while_workers_are_awaited_is_one_line(swarm: Swarm) -> None:
    """And those that have come don't wait for their master until they miss it."""
    ports = serverkit.swarm_ports()
    master = swarm.start(args(swarm, "--master", "--expect-workers", "2", *ports))
    worker = swarm.start(["-f", SCRIPT, "--worker", *ports])
    master.wait_for("1 workers connected", 30)
    master.signal(signal.SIGINT)
    assert master.wait(30) in (130, -signal.SIGINT), str(master)
    assert "sioload: interrupted before the run began" in master.err and "Traceback" not in master.err
    assert worker.wait(30) == 0, str(worker)
    assert "Got quit message from master" in worker.err, str(worker)


QUITS_AT_ONCE = """
from locust import events
from sioload import SocketIOUser

class Nobody(SocketIOUser):
    pass

@events.init.add_listener
def listen(environment, runner, **_):
    events.worker_connect.add_listener(lambda client_id, **_: runner.send_message("quit", None, client_id))
"""


@scene
def test_a_worker_that_is_told_to_quit_while_locust_makes_it_does(swarm: Swarm) -> None:
    """It waited until it missed its master: Locust ends what it has begun by then, and goes on."""
    (swarm.folder / "quits.py").write_text(QUITS_AT_ONCE)
    ports = serverkit.swarm_ports()
    swarm.start(["-f", "quits.py", "--master", "--headless", "--expect-workers", "2", *ports])
    worker = swarm.start(["-f", "quits.py", "--worker", *ports])
    assert worker.wait(30) == 0, str(worker)


@pytest.mark.parametrize("kind", [["--processes", "2"], ["--master"]])
def test_a_masters_port_that_is_taken_is_told_before_any_load(tmp_path: Path, kind: list[str]) -> None:
    with serverkit.socket.create_server(("127.0.0.1", 0)) as other:
        number = str(other.getsockname()[1])
        ports = ["--master-bind-host", "127.0.0.1", "--master-bind-port", number, "--master-port", number]
        run = [
            "-f",
            SCRIPT,
            "--host",
            "http://127.0.0.1:1",
            "--headless",
            "-t",
            "1s",
            *kind,
            *ports,
        ]
        with serverkit.Process(serverkit.locust(run), cwd=tmp_path) as process:
            assert process.wait(20) == 2, str(process)
            (line,) = [line for line in process.err.splitlines() if line.startswith("sioload: ")]
            assert number in line and "--master-bind-port" in line
            assert len(process.err.splitlines()) <= 2, str(process)
            assert members_of(process.pid) == []


def test_a_class_that_every_process_refuses_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "typo.py").write_text(
        "from sioload import SocketIOUser\nclass Typo(SocketIOUser):\n    options = {'transport': []}\n"
    )
    load = ["--host", "http://127.0.0.1:1", "--headless", "-t", "1s", "--processes", "2"]
    done = serverkit.run_locust(["-f", "typo.py", *load, *serverkit.swarm_ports()], cwd=tmp_path)
    assert done.code == 2, done.text
    assert done.err.count("option 'transport' is unknown (nearest: 'transports')") == 1, done.text


DEFECTS = {
    "while it goes on": "import sioload.swarm.judge as place\nplace.Judge._look = broken\n",
    "at its end": "import sioload.swarm.outputs as place\nplace.write = broken\n",
}


@pytest.mark.parametrize("when", DEFECTS)
def test_a_defect_of_sioloads_own_ends_with_exit_code_4(
    when: str, target: serverkit.Server, tmp_path: Path
) -> None:
    """It is told, and Locust goes on."""
    (tmp_path / "locustfile.py").write_text(
        "from locust import constant, task\nfrom sioload import SocketIOUser\n\n"
        "def broken(*_, **more): raise ArithmeticError('a defect')\n\n"
        "class User(SocketIOUser):\n    wait_time = constant(0.1)\n    @task\n"
        f"    def ask(self): self.sio.call('echo', 1)\n\n{DEFECTS[when]}"
    )
    done = serverkit.run_locust(["--host", target.url, "--headless", "-t", "2s"], cwd=tmp_path)
    assert done.code == 4 and "sioload: internal error in " in done.err, done.text
    assert "ArithmeticError: a defect" in done.err and "Aggregated" in done.err, done.text
    told = done.out.count("UNTRUSTED    internal error: ArithmeticError: a defect")
    assert told == (when == "while it goes on"), done.text  # at its end there is no summary


def test_workers_find_their_master_at_the_address_that_it_has(target: serverkit.Server) -> None:
    """With --master-port too they looked for it on 127.0.0.1, and the run never began."""
    port, where = serverkit.swarm_ports(), ["--processes", "1", "--master-bind-host", "127.0.0.2"]
    args = ["-f", "locustfiles/echo.py", "--host", target.url, "--headless", "-t", "1s", *where, *port]
    done = serverkit.run_locust(args, 30)
    assert done.code == 0, done.text


@pytest.mark.parametrize(
    "option, value, said", [("port", "70000", "is no port"), ("host", "a..b", "no name of a host")]
)
def test_where_a_master_cannot_listen_is_told_before_any_load(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    run = ["-f", SCRIPT, "--host", "http://127.0.0.1:1", "--headless", "-t", "1s", "--processes", "2"]
    ports = {"port": str(serverkit.free_port()), "host": "127.0.0.1", option: value}
    for name, where in ports.items():
        run += [f"--master-bind-{name}", where]
    with serverkit.Process(serverkit.locust(run), cwd=tmp_path) as process:
        assert process.wait(20) == 2, str(process)
        (line,) = process.err.splitlines()
        assert line.startswith(f"sioload: --master-bind-{option} {value}") and said in line
        assert members_of(process.pid) == []


def members_of(group: int) -> list[int]:
    """Processes of a group that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@scene
def test_workers_end_with_their_parent(swarm: Swarm) -> None:
    port = serverkit.swarm_ports()
    process = swarm.start(args(swarm, "--processes", "2", *port))
    process.wait_for(serverkit.SPAWNED, 30)
    assert len(members_of(process.pid)) == 3
    process.popen.kill()
    process.popen.wait()
    until = time.monotonic() + 20
    while members_of(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert members_of(process.pid) == [], str(process)
