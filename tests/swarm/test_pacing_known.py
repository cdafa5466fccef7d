"""Whether a generator at its limit spoils a run: it does where users wait, or begin at a rate."""

from __future__ import annotations

import sys
from pathlib import Path

import serverkit

PROGRAM = """
from locust import SequentialTaskSet, TaskSet, User, between, constant, task
from locust.env import Environment
from sioload import Arrivals
from sioload.report.figures import Figures
from sioload.swarm.describe import paced

class Busy(User):
    @task
    def work(self): ...

class Zero(Busy):
    wait_time = constant(0)

class Waiting(Busy):
    wait_time = between(1, 2)

class Steps(SequentialTaskSet):
    @task
    def step(self): ...

Steps.tasks = [*Steps.tasks, Steps]  # a set that comes again in itself

class Nested(User):
    tasks = [Steps]

class Thinking(User):
    @task
    class Outer(TaskSet):
        @task
        class Inner(TaskSet):
            wait_time = between(1, 2)
            @task
            def think(self): ...

class Crowd(Arrivals):
    rate = 10.0
    session_length = 1.0

for users in ([Busy], [Zero, Busy], [Waiting], [Busy, Waiting], [Nested], [Thinking]):
    print(*(each.__name__ for each in users), paced(Environment(user_classes=users), Figures()))
print("Crowd", paced(Environment(user_classes=[Busy], shape_class=Crowd()), Figures()))
"""


def test_users_that_pace_themselves_are_known(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = serverkit.run([sys.executable, "program.py"], 60, cwd=tmp_path)
    assert done.out.splitlines() == [
        "Busy False",
        "Zero Busy False",
        "Waiting True",
        "Busy Waiting True",
        "Nested False",
        "Thinking True",
        "Crowd True",
    ], done.text
