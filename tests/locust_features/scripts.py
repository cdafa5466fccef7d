"""What each feature of Locust is shown by: a script for both kinds of user, and how it is run.

`CALL` stands for one request of either kind; `Base` is `HttpUser` or `SocketIOUser`, at one server. What a
script's users do is noted by `note`, in the order in which they do it, and both kinds have to note the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HEAD = '''
import functools, json, os
from locust import *
from locust import HttpUser, events, transition, transitions

from locust.exception import RescheduleTask, StopUser
noted = []
def note(*what):
    noted.append(" ".join(map(str, what)))
if os.environ["KIND"] == "plain":
    Kind = HttpUser
    def call(user, name):
        getattr(user, "user", user).client.get("/counts", name=name)
else:
    from sioload import SocketIOUser as Kind
    def call(user, name):
        getattr(user, "user", user).sio.call("echo", 1, name=name)
class Base(Kind):
    abstract = True
    host = os.environ["TARGET"]
    wait_time = constant(0.05)
    fixed_count = 1
def some(user, name, most=6):
    """At most so many of each, so that runs of different length note the same."""
    done = user.__dict__.setdefault("done", [])
    if len(done) >= most:
        raise StopUser
    done.append(name)
    call(user, name)
    note(type(user).__name__, name)
@events.quit.add_listener
def tell(**_):
    by_user = {}
    for line in noted:
        by_user.setdefault(line.split()[0], []).append(line)
    with open(os.environ["NOTED"], "a") as file:
        print(json.dumps(by_user, sort_keys=True), file=file)
'''


@dataclass(frozen=True)
class Feature:
    """One feature, or several that one run shows.

    Attributes:
        script: behind `HEAD`.
        args: more arguments of Locust.
        env: more environment variables.
        files: more files in the folder of the run.
        code: the exit code of both kinds.
        counted: whether calls in Locust's table are equal in number too.
    """

    script: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    code: int = 0
    counted: bool = True


TASKS = """
class Plain(Base):
    def on_start(self): note("Plain start")
    def on_stop(self): note("Plain stop")
    @task
    def a(self): some(self, "a")
def function(user): some(user, "function")
class Listed(Base): tasks = [function]
class Weighted(Base): tasks = {function: 3}
class Later(Base): pass
Later.tasks = [function]
class Partial(Base): tasks = [functools.partial(some, name="partial")]
class Steps(SequentialTaskSet):
    def on_start(self): note(type(self.user).__name__, "steps start")
    def on_stop(self): note(type(self.user).__name__, "steps stop")
    @task
    def one(self): some(self.user, "one")
    @task(2)
    def two(self): some(self.user, "two")
    @task
    class Inner(TaskSet):
        def on_start(self): note(type(self.user).__name__, "inner", self.parent.__class__.__name__)
        @task
        def deep(self):
            some(self.user, "deep")
            self.interrupt(reschedule=False)
class Sequential(Base): tasks = [Steps]
class Chain(MarkovTaskSet):
    @transition("b")
    def a(self): some(self.user, "a")
    @transitions({"a": 1})
    def b(self): some(self.user, "b")
class Markov(Base): tasks = [Chain]
class Overriding(Base):
    @task
    class Outer(TaskSet):
        tasks = [Steps]
        def execute_task(self, task):
            note("Overriding executes", task.__name__)
            super().execute_task(task)
class Raising(Base):
    @task
    def a(self):
        some(self, "a")
        raise RescheduleTask
class Broken(Base):
    def on_start(self):
        note("Broken start")
        raise StopUser
    def on_stop(self): note("Broken stop")
    @task
    def never(self): note("Broken never")
"""

#: Feature to what shows it.
FEATURES = {
    "tasks of every kind": Feature(TASKS, ("-u", "20", "-r", "40", "-t", "12s")),
    "a shape": Feature(
        "class Step(Base):\n    fixed_count = 0\n    @task\n    def a(self): some(self, 'a', 3)\n"
        "class Shape(LoadTestShape):\n    def tick(self):\n"
        "        return (2, 10) if self.get_run_time() < 4 else None\n"),
    "workers": Feature(
        "class Spread(Base):\n    fixed_count = 4\n    @task\n    def a(self): some(self, 'a', 5)\n",
        ("-u", "4", "-r", "10", "-t", "4s", "--processes", "2")),
}  # fmt: skip
