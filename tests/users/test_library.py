"""Locust as a library, and one user alone: the first user makes ready what a run needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import serverkit

PROGRAM = """
import json, sys
import gevent
from locust import HttpUser, constant, task
from locust.env import Environment
from sioload import SocketIOUser

class Talker(SocketIOUser):
    host = sys.argv[1]
    wait_time = constant(0.1)
    options = {"transports": ["websocket"], "version": 4}
    @task
    def talk(self): self.sio.call("delay", 0.05, name="talk")
    def on_stop(self): self.sio.emit("echo", 1, name="bye")

class Getter(HttpUser):
    host = sys.argv[1]
    wait_time = constant(0.1)
    @task
    def get(self): self.client.get("/counts")

heard = []
environment = Environment(user_classes=[Talker, Getter])
environment.events.request.add_listener(lambda request_type, name, **_: heard.append((request_type, name)))
runner = environment.create_local_runner()
rounds = []
for _ in range(2):
    runner.start(4, spawn_rate=4)
    gevent.sleep(2)
    runner.QUIT()
    if "QUIT" == "stop": gevent.sleep(1)
    rounds.append({f"{kind} {name}": row.num_requests
                   for (name, kind), row in environment.stats.entries.items()})
    if "QUIT" == "quit": break
runner.greenlet.join(timeout=5 if "QUIT" == "quit" else 0)
print(json.dumps({"rounds": rounds, "failures": environment.stats.total.num_failures,
                  "heard": heard.count(("CALL", "talk"))}))
"""


@pytest.mark.parametrize("end", ["quit", "stop"])
def test_a_program_of_its_own_records_what_users_do(
    end: str, target: serverkit.Server, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("QUIT", end))
    with serverkit.Process([sys.executable, script, target.url], cwd=tmp_path) as process:
        assert process.wait(40) == 0, str(process)
        result = json.loads(process.out.splitlines()[-1])
        assert "error" not in process.err.lower(), str(process)
    server, rounds = target.counts()["received"]["/"], result["rounds"]
    assert len(rounds) == (1 if end == "quit" else 2)
    assert sum(counts["CALL talk"] for counts in rounds) == server["delay"] == result["heard"] > 10
    assert [counts["EMIT bye"] for counts in rounds] == [2] * len(rounds)
    assert [counts["DISCONNECT client"] for counts in rounds] == [2] * len(rounds)
    assert server["echo"] == 2 * len(rounds) and result["failures"] == 0
    assert all(counts["GET /counts"] > 10 for counts in rounds)


SWARM = """
import json, sys
import gevent, locust
from locust import constant, task
from locust.env import Environment
from sioload import SocketIOUser

class Talker(SocketIOUser):
    host = sys.argv[1]
    wait_time = constant(0.1)
    options = {"transports": ["websocket"], "version": 4}
    @task
    def talk(self): self.sio.call("echo", 1)

role, port = sys.argv[2], int(sys.argv[3])
environment = Environment(user_classes=[Talker], events=locust.events)
make = environment.create_master_runner if role == "master" else environment.create_worker_runner
runner = make("127.0.0.1", port)
environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
if role == "master":
    def figures():
        found = environment.sioload_part.judge.report()
        calls = sum(event["count"] for event in found["events"] if event["type"] == "CALL")
        return [calls, found["untrusted"]]

    while not runner.clients.ready:
        gevent.sleep(0.1)
    runner.start(4, spawn_rate=4)
    gevent.sleep(2)
    environment.events.reset_stats.fire()
    environment.stats.reset_all()
    gevent.sleep(2)
    runner.quit()
    print(json.dumps([*figures(), environment.stats.total.num_requests]))
else:
    runner.greenlet.join()
"""


def test_a_swarm_of_its_own_counts_on_after_a_reset(target: serverkit.Server, tmp_path: Path) -> None:
    script, port = tmp_path / "program.py", str(serverkit.free_port())
    script.write_text(SWARM)
    programs = [[sys.executable, script, target.url, role, port] for role in ("master", "worker")]
    with (
        serverkit.Process(programs[0], cwd=tmp_path) as master,
        serverkit.Process(programs[1], cwd=tmp_path) as worker,
    ):
        assert master.wait(40) == 0, f"{master}\n{worker}"
        calls, untrusted, requests = json.loads(master.out.splitlines()[-1])
        assert untrusted == [] and 20 < calls <= requests, f"{master}\n{worker}"


SINGLE = """
import os, sys
from locust import constant, run_single_user, task
from sioload import SocketIOUser

class Talker(SocketIOUser):
    host = os.environ["TARGET"]
    wait_time = constant(0.4)
    @task
    def talk(self):
        self.sio.call("echo", 1)
        if len(self.__dict__.setdefault("done", [])) == 5:
            self.sio.sleep(1.5)
            sys.stdout.flush()
            os._exit(0)
        self.done.append(1)

run_single_user(Talker)
"""


def test_one_user_runs_alone(target: serverkit.Server, tmp_path: Path) -> None:
    """`locust.run_single_user`, the way to debug a locustfile: it prints each sample, and sioload nothing."""
    script = tmp_path / "single.py"
    script.write_text(SINGLE)
    with serverkit.Process([sys.executable, script], cwd=tmp_path, env={"TARGET": target.url}) as process:
        assert process.wait(30) == 0, str(process)
        lines = [line.split() for line in process.out.splitlines()]
        assert sum(line[:2] == ["CALL", "echo"] for line in lines) == 6, str(process)
        assert any(line[:2] == ["CONNECT", "/"] for line in lines), str(process)
        assert process.err == ""


IN_TURN = """
import os
from locust import constant, run_single_user, task
from locust.exception import StopUser
from sioload import SocketIOUser

class First(SocketIOUser):
    host = os.environ["TARGET"]
    wait_time = constant(0.05)
    @task
    def talk(self):
        self.sio.call("echo", 1)
        raise StopUser
    def on_stop(self): self.sio.emit("delay", 0.3, name="bye", callback=print)

class Second(First):
    pass

for kind in (First, Second):
    run_single_user(kind)
    print("-- over")
"""


def test_one_user_after_another_leaves_nothing_open(target: serverkit.Server, tmp_path: Path) -> None:
    """What the first said and heard is told before the next begins, its goodbye too."""
    script = tmp_path / "in_turn.py"
    script.write_text(IN_TURN)
    run = serverkit.run([sys.executable, script], 30, cwd=tmp_path, env={"TARGET": target.url})
    assert run.code == 0 and run.err == "", run.text
    parts = run.out.split("-- over")
    for part in parts[:2]:
        said = [line.split()[:2] for line in part.splitlines()]
        assert said.count(["CALL", "bye"]) == said.count(["DISCONNECT", "client"]) == 1, run.text
    assert parts[2].strip() == "", run.text


MANY = """
import json, sys
import gevent
from locust.env import Environment
from sioload import SocketIOUser

class Visitor(SocketIOUser):
    host = sys.argv[1]
    options = {"version": 4, "transports": ["websocket"]}

user = Visitor(Environment(user_classes=[Visitor]))
made = [user.another_client() for _ in range(2)]
user.sio.connect()
user.sio.disconnect()
for sio in made:
    sio.connect()
for n in range(20):
    made.append(user.another_client())
    made[-1].connect()
    made[-1].call("echo", n)
    made[-1].disconnect()
told = {"held": len(user.clients)}
made[2].connect()  # again
told["again"] = made[2] in user.clients
user._gone(None)
with gevent.Timeout(10):
    while user.sio.fleet.members:
        gevent.sleep(0.01)
try:
    made[3].connect()
except gevent.GreenletExit:
    told["late"] = len(user.sio.fleet.members)
print(json.dumps(told))
"""


def test_a_user_holds_no_more_connections_than_its_script_has_open(
    target: serverkit.Server, tmp_path: Path
) -> None:
    """One that is opened again is closed with it, as it was before; the last one made may still be used."""
    script = tmp_path / "many.py"
    script.write_text(MANY)
    run = serverkit.run([sys.executable, script, target.url], 30, cwd=tmp_path)
    assert run.code == 0, run.text
    assert json.loads(run.out.splitlines()[-1]) == {"held": 4, "again": True, "late": 0}


OWN = """
import json, sys, xmlrpc.client
from locust.env import Environment
from sioload import SocketIOUser

class Visitor(SocketIOUser):
    host = sys.argv[1]
    options = {"version": 4, "cookies": {"a": "1"}}

class Other:
    pass

told = []
for client in (Other(), xmlrpc.client.ServerProxy("http://127.0.0.1:1")):
    user = Visitor(Environment(user_classes=[Visitor]))
    user.client = client
    user.sio.connect()
    told.append([user.sio.call("echo", 1), user.client is client, user.sio.fleet.recorder.internal_errors])
print(json.dumps(told))
"""


def test_a_client_of_another_protocol_may_be_a_users_own(target: serverkit.Server, tmp_path: Path) -> None:
    """One that keeps no cookies, and one that has whatever attribute it is asked for."""
    script = tmp_path / "own.py"
    script.write_text(OWN)
    run = serverkit.run([sys.executable, script, target.url], 30, cwd=tmp_path)
    assert run.code == 0, run.text
    assert json.loads(run.out.splitlines()[-1]) == [[1, True, []]] * 2
