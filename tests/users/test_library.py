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
