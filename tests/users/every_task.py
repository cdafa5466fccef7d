"""Users whose server closes their namespace once, in tasks of every kind that Locust has."""

import functools
import json
import os

from locust import HttpUser, MarkovTaskSet, SequentialTaskSet, TaskSet, constant, events, task
from locust.user.markov_taskset import transition

from sioload import SocketIOUser

steps = {}


def step(user, name=None):
    """The server closes the namespace at the third of a user's steps."""
    user = getattr(user, "user", user)
    steps[type(user).__name__] = number = steps.get(type(user).__name__, 0) + 1
    if isinstance(user, HttpUser):
        user.client.get("/counts", name="shared")
    elif number == 3:
        user.sio.emit("kick", name="kick")
        user.sio.wait()  # the next task comes after it
    elif number == 6:
        user.sio.call("echo", 1, ok=lambda reply: False, name=type(user).__name__)
    else:
        user.sio.call("echo", 1, name=type(user).__name__)


class Base(SocketIOUser):
    abstract = True
    host = os.environ["TARGET"]
    wait_time = constant(0.1)
    fixed_count = 1


class Plain(Base):
    @task
    def a(self):
        step(self)


class Shared(TaskSet):
    tasks = [step]


class Nested(Base):
    tasks = [Shared]


class Web(HttpUser):
    host = os.environ["TARGET"]
    wait_time = constant(0.1)
    fixed_count = 1
    tasks = [Shared]


class Sequential(Base):
    @task
    class Steps(SequentialTaskSet):
        @task
        def first(self):
            step(self)

        @task
        class Inner(TaskSet):
            def on_start(self):
                step(self)
                self.interrupt()


class Overriding(Base):
    @task
    class Outer(TaskSet):
        seen = []

        def execute_task(self, task):
            self.seen.append(task.__name__)
            super().execute_task(task)

        tasks = [Shared]


class Chain(MarkovTaskSet):
    @transition("b")
    def a(self):
        step(self)

    @transition("a")
    def b(self):
        step(self)


class Markov(Base):
    tasks = [Chain]


class Later(Base):
    pass


Later.tasks = [step]


class Partial(Base):
    tasks = [functools.partial(step, name="partial")]


@events.quit.add_listener
def tell(**_):
    with open(os.environ["SEEN"], "w") as file:
        json.dump({"overriding": Overriding.Outer.seen, "steps": steps}, file)
    assert Shared.tasks == [step] and Plain.tasks == [Plain.a] and Later.tasks == [step]
