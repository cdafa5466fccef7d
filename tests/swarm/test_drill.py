"""Drills on a real server: what the report says of users is what the server, and a proxy before it, saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import serverkit

USERS = Path(__file__).with_name("drilled_users.py")
SERVERS = Path(__file__).parents[1] / "servers"


class Proxy:
    """Passes bytes to a server, and counts the connections for which there was none.

    One loop serves them all, so that hundreds of connections end soon after their server's end.
    `ended` has the times at which clients were told so.
    """

    def __init__(self, behind: int) -> None:
        self.refused = 0
        self.ended: list[float] = []
        self._behind = behind
        self._loop = asyncio.new_event_loop()
        serving = asyncio.start_server(self._pass, "127.0.0.1", 0, backlog=1000)
        self._server = self._loop.run_until_complete(serving)
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            self.refused += 1
            writer.close()
            return
        await asyncio.gather(self._copy(reader, server), self._tell(answers, writer))

    async def _tell(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._copy(answers, client)
        self.ended.append(time.time())

    @staticmethod
    async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


class Site:
    """A server on a port of its own, with what it wrote down."""

    def __init__(self, folder: Path, *options: str) -> None:
        serverkit.need_node("sio4")
        self.port, self.log = serverkit.free_port(), folder / "server.log"
        self.argv = ["node", str(SERVERS / "outages.js"), str(self.port), str(self.log), *options]
        self.process = serverkit.Process(self.argv)
        self.process.wait_for(r"listening \d+", 20)

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def site(folder: Path, *options: str) -> Iterator[Site]:
    found = Site(folder, *options)
    try:
        yield found
    finally:
        found.process.close()


def drill(
    folder: Path, url: str, *args: str, users: int = 40, workers: Sequence[str] = ()
) -> tuple[serverkit.Run, dict[str, Any], dict[str, Any]]:
    """A finished drill, its report, and its only mark."""
    path = folder / "report.json"
    done = serverkit.run_sioload(
        ["drill", str(USERS), "--host", url, "--users", str(users), "--spawn-rate", str(users), *args,
         "--sio-report", str(path), "--sio-html", str(folder / "report.html"), *workers],
        cwd=folder, timeout=120,
    )  # fmt: skip
    assert path.exists(), done.text
    report = json.loads(path.read_text())
    assert report["ledger"]["open"] == 0 and report["untrusted"] == [], done.text
    return done, report, report["drill"][-1]


def gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def killed(folder: Path, users: int, workers: Sequence[str], pause: float, watch: float) -> None:
    with site(folder) as server, Proxy(server.port) as proxy:
        again = shlex.join(server.argv)
        command = f"echo $EPOCHREALTIME; kill -9 {server.process.pid}; sleep {pause}; exec {again}"
        checks = ("drill: not_back == 0", "drill: back_p99 < 30s", "drill: lost > 0")
        done, report, mark = drill(
            folder, f"http://127.0.0.1:{proxy.port}", "--at", "3s", "--watch", f"{watch:g}s",
            "--run", f"bash -c {shlex.quote(command)}",
            *[part for check in checks for part in ("--sio-check", check)],
            users=users, workers=workers,
        )  # fmt: skip
        assert done.code == 0, done.text
        assert any(event["failures"] for event in report["events"])
        seen = server.seen
        begun = [n for n, line in enumerate(seen) if "began" in line]
        before, after = seen[: begun[1]], seen[begun[1] :]
        assert mark["lost"] == sum("came" in line for line in before) == users
        assert mark["not_back"] == users - sum("came" in line for line in after) == 0
        assert sum(mark["by_reason"].values()) == users and mark["recovered_sessions"] == 0
        assert proxy.refused == mark["refused"] == sum(mark["refusals"]) > 0
        assert mark["exit_code"] is None, "it was ended with the run"
        end = float(mark["output"].split()[0])
        heard = statistics.fmean(proxy.ended[:users])  # a user's way back begins when it hears of the end
        back = sorted(line["at"] - heard for line in after if "came" in line)
        theirs = {"p50": back[-(-users // 2) - 1], "p90": back[-(-9 * users // 10) - 1], "max": back[-1]}
        ours = {name: mark["back_ms"][name] / 1000 for name in theirs}
        assert ours == pytest.approx(theirs, abs=0.1), "the server took the same time for each to be back"
        assert "missed_pushes" in mark and mark["missed_pushes"] is None
        per_second = Counter(int(line["at"] - end) for line in after if "came" in line)
        assert mark["peak_connects_per_s"] <= 2 * max(per_second.values())
        assert mark["calm_after_s"] is None or mark["calm_after_s"] in range(0, 20, 5)
        assert gone(after[0]["began"]), "nothing is left behind"
        assert "users lost their session" in " ".join(done.out.split())
        assert "<h2>Drill</h2>" in (folder / "report.html").read_text()


def test_a_server_that_is_killed_and_comes_back(tmp_path):
    killed(tmp_path, 40, (), 1.0, 6.0)


@pytest.mark.verify
@pytest.mark.parametrize("workers", [(), ("--processes", "2")], ids=["alone", "two workers"])
def test_five_hundred_users_of_a_server_that_is_killed(tmp_path, workers):
    killed(tmp_path, 500, workers, 5.0, 25.0)


def test_users_that_the_server_sends_away_have_lost_their_session(tmp_path):
    """A server that ends in order says goodbye: no user's connection breaks, and all have to come back."""
    with site(tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}"
        dismiss = f"import urllib.request; urllib.request.urlopen('{url}/dismiss')"
        command = shlex.join([sys.executable, "-c", dismiss])
        done, report, mark = drill(tmp_path, url, "--at", "2s", "--watch", "6s", "--run", command, users=8)
        assert done.code == 0 and mark["exit_code"] == 0, done.text
        assert report["connections"]["closed"]["server"] == 8, done.text
        assert mark["lost"] == 8 and mark["by_reason"] == {"namespace closed": 8}, done.text
        assert mark["not_back"] == 0 and mark["back_ms"]["max"] > 0
        assert sum("came" in line for line in server.seen) == 16


@pytest.mark.verify
def test_a_share_is_cut_and_its_sessions_are_recovered(tmp_path):
    with site(tmp_path, "recovery") as server:
        done, report, mark = drill(
            tmp_path, f"http://127.0.0.1:{server.port}", "--at", "3s", "--watch", "4s", "--cut", "30%"
        )
        assert done.code == 0, done.text
        assert mark["lost"] == 12 and mark["by_reason"] == {"cut": 12} and mark["not_back"] == 0
        assert mark["recovered_sessions"] == sum(line.get("came") == "back" for line in server.seen) == 12
        assert mark["command"] is None and mark["exit_code"] is None and mark["refused"] == 0
        assert report["phases"] == []


@pytest.mark.verify
def test_a_silent_cut_is_found_by_the_servers_heartbeat(tmp_path):
    with site(tmp_path, "pings") as server:
        done, _, mark = drill(
            tmp_path, f"http://127.0.0.1:{server.port}", "--at", "2s", "--watch", "6s", "--cut", "50%",
            "--silent", "--processes", "2",
        )  # fmt: skip
        assert done.code == 0, done.text
        assert mark["lost"] == 20 and mark["not_back"] == 0 and mark["silent"]
        assert sum(line.get("went") == "ping timeout" for line in server.seen) == 20
        assert 1000 <= mark["server_noticed_ms"]["max"] <= 3500


@pytest.mark.verify
def test_a_check_that_fails_and_a_command_that_cannot_run(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/thing\n")
    broken.chmod(0o755)
    with site(tmp_path) as server:
        done, _, mark = drill(
            tmp_path, f"http://127.0.0.1:{server.port}", "--at", "2s", "--watch", "2s",
            "--run", f"{broken} x", "--sio-check", "drill: lost > 0",
            "--sio-check", "drill: exit_code == 0", users=5,
        )  # fmt: skip
        assert done.code == 3, done.text
        assert mark["exit_code"] == 127 and f"can't run {broken}" in mark["output"]
        assert mark["lost"] == 0 and mark["back_ms"] is None
        assert "drill: lost > 0" in done.out


def test_a_drill_that_is_interrupted_ends_its_command(tmp_path):
    with site(tmp_path) as server:
        args = ["drill", str(USERS), "--host", f"http://127.0.0.1:{server.port}", "--users", "2"]
        args += ["--sio-report", "report.json"]
        args += ["--at", "2s", "--run", "sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.2; done'"]
        with serverkit.Process(serverkit.sioload(args), cwd=tmp_path) as process:
            process.wait_for("drill: running", 30)
            path = tmp_path / "pid"
            while not path.exists() or not path.read_text():
                assert process.popen.poll() is None
            process.signal(signal.SIGINT)
            process.wait(30)
            told = process.out
        assert gone(int(path.read_text()))
        assert json.loads((tmp_path / "report.json").read_text())["ended_by"] == "SIGINT"
        assert " s, ended early by SIGINT\n" in told


def test_users_that_have_left_by_then_keep_no_drill_waiting(tmp_path):
    with site(tmp_path) as server:
        url, report = f"http://127.0.0.1:{server.port}", tmp_path / "report.json"
        args = ["drill", USERS, "--host", url, "--users", "5", "--at", "2s", "--watch", "2s", "--cut", "100%"]
        done = serverkit.run_sioload([*args, "--sio-report", report], 50, cwd=tmp_path, env={"LEAVE": "2"})
    assert done.code == 0, done.text
    (mark,) = json.loads(report.read_text())["drill"]
    assert (mark["lost"], mark["not_back"]) == (3, 0), done.text


STRANGER = """
import locust, os
from sioload.report.drill import Mark
from sioload.swarm.drill import Command

command = Command(["sleep", "60"], Mark(0.0, 0.0, 0.0))
print(command._process.pid, flush=True)
os.setuid(65534)
command.end()
print("ended")
"""


def test_a_command_that_may_not_be_ended_spoils_no_report():
    """`sudo` is another user's process."""
    if os.getuid():
        serverkit.missing("another user", "run as root")
    done = serverkit.run([sys.executable, "-c", STRANGER], 30)
    pid, *said = done.out.split()
    os.killpg(int(pid), signal.SIGKILL)
    assert (done.code, said) == (0, ["ended"]), done.text
    assert "can't end what the command started: Operation not permitted" in done.err


WITHIN = """
import locust, gevent, os, sys
from sioload.report.drill import VARIABLE, Mark
from sioload.swarm.drill import Command

os.environ |= {VARIABLE: "{}", "OTHER": "seen"}
mark = Mark(0.0, 0.0, 0.0)
names = [VARIABLE, "OTHER"]
Command([sys.executable, "-c", f"import os; print([os.environ.get(name) for name in {names}])"], mark)
while "]" not in mark.output:
    gevent.sleep(0.02)
print(mark.output)
"""


MUCH = """
import locust, gevent, sys
from sioload.report.drill import Mark
from sioload.swarm.drill import Command

mark = Mark(0.0, 0.0, 0.0)
Command([sys.executable, "-c", "print('-' + 'é' * 34_000 + '!')"], mark)
while "!" not in mark.output:
    gevent.sleep(0.02)
print(set(mark.output.strip()))
"""


def test_a_character_of_the_output_that_comes_in_two_pieces_is_whole():
    done = serverkit.run([sys.executable, "-c", MUCH], 30, env={"PYTHONIOENCODING": "utf-8"})
    assert done.code == 0 and set(done.out) >= {"é", "!"} and "\ufffd" not in done.out, done.text


def test_a_command_that_is_a_load_test_is_no_drill_of_its_own():
    """A spike from another locustfile, say: what makes a run a drill stands in the environment."""
    done = serverkit.run([sys.executable, "-c", WITHIN], 30)
    assert (done.code, done.out.strip()) == (0, "[None, 'seen']"), done.text


SHAPED = """
from locust import LoadTestShape, constant, task
from sioload import Arrivals, Phases, SocketIOUser

class Staying(SocketIOUser):
    wait_time = constant(0.5)
    options = {{"transports": ["websocket"], "version": 4}}

    @task
    def ask(self):
        self.sio.call("echo", 1)

class Crowd({shape}):
    {body}
"""


@pytest.mark.parametrize(
    "shape, body",
    [
        ("Arrivals", "rate = 5; session_length = 1"),
        pytest.param("Phases", "phases = '2 users for 1s'", marks=pytest.mark.verify),
        pytest.param(
            "LoadTestShape",
            "tick = lambda self: (1, 1) if self.get_run_time() < 1 else None",
            marks=pytest.mark.verify,
        ),
    ],
)
def test_a_drill_has_the_users_that_it_was_told(tmp_path, target, shape, body):
    """Whatever load the locustfile makes by itself, and whatever time a project's locust.conf gives it."""
    script, report = tmp_path / "locustfile.py", tmp_path / "report.json"
    script.write_text(SHAPED.format(shape=shape, body=body))
    (tmp_path / "locust.conf").write_text("run-time = 3s\nsio-phases = 2 users for 1s\n")
    args = ["drill", script, "--host", target.url, "--users", "4", "--at", "2s", "--watch", "2s"]
    done = serverkit.run_sioload([*args, "--cut", "50%", "--sio-report", report], 40, cwd=tmp_path)
    assert done.code == 0 and "drill wins over the shape Crowd" in done.out, done.text
    found = json.loads(report.read_text())
    (mark,) = found["drill"]
    assert (mark["lost"], mark["not_back"], found["users"]["asked"]) == (2, 0, 4), done.text
    assert found["duration_s"] >= mark["at_s"] + mark["watch_s"], done.text


def test_workers_with_few_users_each_cut_the_share_of_all(tmp_path, target):
    script, report = tmp_path / "locustfile.py", tmp_path / "report.json"
    script.write_text(SHAPED.format(shape="Arrivals", body="rate = 5; session_length = 1"))
    args = ["drill", script, "--host", target.url, "--users", "8", "--at", "2s", "--watch", "2s", "--cut"]
    port = str(serverkit.free_port())
    env = {"LOCUST_MASTER_BIND_PORT": port, "LOCUST_MASTER_NODE_PORT": port}
    more = ["25%", "--processes", "4", "--sio-report", report]
    done = serverkit.run_sioload([*args, *more], 60, cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    (mark,) = json.loads(report.read_text())["drill"]
    assert (mark["lost"], mark["not_back"]) == (2, 0), done.text


BESIDE = """
exec(open({users!r}).read())
from locust import HttpUser

class Reader(HttpUser):
    wait_time = constant(1)
    fixed_count = 2

    @task
    def read(self):
        self.client.get("/counts")
"""


def test_users_of_other_kinds_keep_no_drill_waiting(tmp_path, target):
    """They never have a session."""
    script, report = tmp_path / "locustfile.py", tmp_path / "report.json"
    script.write_text(BESIDE.format(users=str(USERS)))
    args = ["drill", script, "--host", target.url, "--users", "6", "--at", "2s", "--watch", "2s"]
    done = serverkit.run_sioload([*args, "--cut", "50%", "--sio-report", report], 50, cwd=tmp_path)
    assert done.code == 0 and "drilling anyway" not in done.err, done.text
    (mark,) = json.loads(report.read_text())["drill"]
    assert (mark["lost"], mark["not_back"]) == (2, 0), done.text


UNMADE = """
from locust import task
from sioload import SocketIOUser
from sioload.swarm import drill

drill.PATIENCE = 0.5

class Unmade(SocketIOUser):
    def __init__(self, environment):
        raise ValueError("never made")

    @task
    def ask(self): ...
"""


def test_users_that_cannot_be_made_are_not_waited_for_without_an_end(tmp_path, target):
    (tmp_path / "locustfile.py").write_text(UNMADE)
    args = ["drill", "locustfile.py", "--host", target.url, "--users", "3", "--at", "2s", "--watch", "2s"]
    done = serverkit.run_sioload([*args, "--cut", "50%"], 20, cwd=tmp_path)
    assert done.code and "never made" in done.err, done.text
    assert "no user has had a session: nothing is done to the server" in done.err


NOBODY = """
from sioload.swarm import drill
exec(open({users!r}).read())
drill.PATIENCE = 0.5  # for users without a session
"""
#: They don't even try.
WAITING = """
import gevent
SocketIOUser.on_start = lambda self: gevent.sleep(60)
"""


@pytest.mark.parametrize(
    ("workers", "more"),
    [pytest.param([], "", marks=pytest.mark.verify), (["--processes", "2"], ""), ([], WAITING)],
)
def test_nothing_is_done_to_a_server_that_nobody_reached(tmp_path, workers, more):
    script, report, made = tmp_path / "locustfile.py", tmp_path / "report.json", tmp_path / "made"
    script.write_text(NOBODY.format(users=str(USERS)) + more)
    args = ["drill", script, "--host", "http://127.0.0.1:9", "--users", "3", "--at", "2s", "--watch", "2s"]
    args += ["--run", f"touch {made}", *workers]
    done = serverkit.run_sioload([*args, "--sio-report", report], 50, cwd=tmp_path)
    assert done.code == 1 and "nothing is done to the server" in done.err, done.text
    assert not made.exists() and json.loads(report.read_text())["drill"] == []
