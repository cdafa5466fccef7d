"""What each feature of Locust is shown by: a script for both kinds of user, and how it is run.

`Base` is Locust's `HttpUser` or `SocketIOUser`, at one server, and `call` a request of either kind. What a
script's users do is noted by `note`, in the order in which they do it, and both kinds have to note the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Locust closes its CSV files without a last look at its table, so the table itself is written down.
COUNT = """
import json, os
import gevent
from locust import events

staying = []  # users that do nothing any more

@events.init.add_listener
def begin(environment, runner, **_):
    # Locust reckons --run-time from when the script's imports began, which may be as long ago.
    gevent.get_hub().loop.update_now()
    def count(**_):
        rows = runner.stats.entries.items()
        table = {name: [row.num_requests, row.num_failures] for (name, kind), row in rows if kind in KINDS}
        with open(os.environ["NOTED"] + ".calls", "w") as file:
            json.dump(table, file)
    def look():
        while calls(runner) < int(os.environ["CALLS"]) or runner.user_count > len(staying):
            gevent.sleep(0.05)
        gevent.sleep(0.3)
        runner.quit()
    if type(runner).__name__ != "WorkerRunner":
        environment.events.quit.add_listener(count)
        if "CALLS" in os.environ:
            gevent.spawn(look)
KINDS = ("GET", "CALL")

def calls(runner):
    return sum(row.num_requests for (_, kind), row in runner.stats.entries.items() if kind in KINDS)

def stay(user):  # until the user is stopped
    staying.append(user)
    gevent.sleep(100)
"""

HEAD = (
    COUNT
    + '''
import functools
from locust import *
from locust import HttpUser, events, transition, transitions
from locust.exception import RescheduleTask, StopUser

if os.environ["KIND"] == "plain":
    Kind = HttpUser
    def call(user, name):
        user.client.get("/counts", name=name)
else:
    from sioload import SocketIOUser as Kind
    def call(user, name):
        user.sio.call("echo", 1, name=name)

noted = {}

def note(who, what):
    """`who` is a user, or the name of something else that notes."""
    key = (who if isinstance(who, str) else type(who).__name__, id(who))
    noted.setdefault(key, []).append(what)
    if "LIVE" in os.environ:
        with open(os.environ["LIVE"], "a") as file:
            print(what, file=file)

class Base(Kind):
    abstract = True
    host = os.environ["TARGET"]
    wait_time = constant(0.02)
    fixed_count = 1

def some(user, name, most=3):
    """So many calls; then the user ends."""
    done = user.__dict__.setdefault("done", [])
    if len(done) >= most:
        raise StopUser
    done.append(name)
    call(user, name)
    note(user, name)

@events.quit.add_listener
def tell(**_):
    by_class = {}
    for (name, _), lines in noted.items():
        by_class.setdefault(name, []).append(lines)
    with open(os.environ["NOTED"], "a") as file:
        told = {name: sorted(lines) for name, lines in by_class.items()}
        print(json.dumps(told, sort_keys=True), file=file)
'''
)


@dataclass(frozen=True)
class Feature:
    """One feature, or several that one run shows.

    Attributes:
        script: behind `head`.
        args: more arguments of Locust.
        calls: after so many, and when all users have left or stay for good, the run ends.
        env: more environment variables.
        files: more files in the folder of the run.
        code: the exit code of both kinds.
        name: what the script is called.
        head: what goes in front of it.
    """

    script: str
    args: tuple[str, ...] = ()
    calls: int = 0
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    code: int = 0
    name: str = "locustfile.py"
    head: str = HEAD


TASKS = """
class Plain(Base):
    def on_start(self): note(self, "start")
    def on_stop(self): note(self, "stop")
    @task
    def a(self): some(self, "a")
def function(user): some(user, "function")
class Listed(Base): tasks = [function]
class Weighted(Base): tasks = {function: 3}
class Later(Base): pass
Later.tasks = [function]
class Partial(Base): tasks = [functools.partial(some, name="partial")]
class Often(Base):
    fixed_count, weight = 0, 3
    @task
    def often(self): some(self, "often")
class Seldom(Base):
    fixed_count, weight = 0, 1
    @task
    def seldom(self): some(self, "seldom")
class Steps(SequentialTaskSet):
    def on_start(self): note(self.user, "steps start")
    def on_stop(self): note(self.user, "steps stop")
    @task
    def one(self): some(self.user, "one", 8)
    @task(2)
    def two(self): some(self.user, "two", 8)
    @task
    class Inner(TaskSet):
        def on_start(self): note(self.user, "inner " + self.parent.__class__.__name__)
        def on_stop(self): note(self.user, "inner stop")
        @task
        def deep(self):
            some(self.user, "deep", 8)
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
            note(self.user, "executes " + task.__name__)
            super().execute_task(task)
class Raising(Base):
    @task
    def a(self):
        some(self, "a")
        raise RescheduleTask
class Broken(Base):
    def on_start(self):
        note(self, "start")
        raise StopUser
    def on_stop(self): note(self, "stop")
    @task
    def never(self): note(self, "never")
class Staying(Base):
    def on_stop(self):
        call(self, "bye")
        note(self, "stop")
    @task
    class Nested(TaskSet):
        def on_stop(self): note(self.user, "nested stop")
        @task
        def stays(self):
            call(self.user, "stays")
            stay(self.user)
"""

#: `-u`, `-r`, options of the script, tags and the exit code come from four places.
OPTIONS = """
for event in ("test_start", "test_stopping", "test_stop", "spawning_complete", "quitting"):
    getattr(events, event).add_listener(lambda event=event, **_: note("events", event))
@events.init.add_listener
def begun(environment, runner, web_ui, **_): note("events", f"init {type(runner).__name__} {web_ui}")
@events.init_command_line_parser.add_listener
def option(parser, **_): parser.add_argument("--flavour", default="none", env_var="FLAVOUR")
@events.request.add_listener
def request(request_type, name, exception, context, **_):
    if name == "a": note("requests", f"{name} {exception} {context}")
@events.user_error.add_listener
def wrong(user_instance, exception, **_): note("events", f"error {type(user_instance).__name__} {exception}")
class Heard(Base):
    def context(self): return {"flavour": self.environment.parsed_options.flavour}
    @tag("x")
    @task
    def a(self): some(self, "a")
class Failing(Base):
    @tag("x")
    @task
    def a(self):
        if getattr(self, "failed", False): raise StopUser
        self.failed = True
        raise RuntimeError("wrong")
class Tagged(Base):
    @tag("x")
    @task
    def tagged(self): some(self, "tagged")
    @tag("y")
    @task
    def other(self): some(self, "other")
    @tag("x", "z")
    @task
    def excluded(self): some(self, "excluded")
class Unused(Base):
    @tag("x")
    @task
    def unused(self): some(self, "unused")
"""

SHAPE = """
class Step(Base):
    fixed_count = 0
    def on_start(self): note(self, "start")
    def on_stop(self): note(self, "stop")
    @task
    def a(self):
        call(self, type(self).__name__)
        stay(self)
class Other(Step): pass
class Shape(LoadTestShape):
    steps = [(2, 10, [Step]), (4, 10, [Step, Other]), (1, 10, [Step])]
    def tick(self): return self.steps.pop(0) if self.steps else None
"""

SPREAD = """
class Spread(Base):
    fixed_count = 4
    def on_start(self): note(self, "start")
    def on_stop(self): note(self, "stop")
    @task
    def a(self): some(self, "a")
"""

#: Functions of pytest as users; they get Locust's HTTP session, which sioload leaves alone.
PYTEST = """
if os.environ["KIND"] != "plain":
    import sioload
def test_counts(session):
    session.done = getattr(session, "done", 0) + 1
    if session.done > 3: stay(session)
    session.get(os.environ["TARGET"] + "/counts", name="counts")
    session.get(os.environ["TARGET"] + "/counts", name="again")
"""

#: A limit of iterations as plugins have it, by methods of their own in the place of Locust's.
LIMITED = """
from locust.user.task import DefaultTaskSet
class Plain(Base):
    @task
    def a(self): call(self, "a")
class Nesting(Base):
    @task
    class Inner(TaskSet):
        @task
        def a(self): call(self.user, "a")
left, ended = list(range(9)), []  # one of them is the set itself, which never comes to its end
def limited(execute):
    @functools.wraps(execute)
    def wrapped(self, task):
        if not left:
            ended.append(self.user)
            if len(ended) == 2:
                note("plugin", "the last user ends")
                gevent.spawn_later(0.1, self.user.environment.runner.quit)
            raise StopUser
        left.pop()
        execute(self, task)
    return wrapped
@events.test_start.add_listener
def limit(**_):
    TaskSet.execute_task = limited(TaskSet.execute_task)
    DefaultTaskSet.execute_task = limited(DefaultTaskSet.execute_task)
"""

#: Feature to what shows it.
FEATURES = {
    "tasks of every kind, weights, fixed_count": Feature(TASKS, ("-u", "17", "-r", "100"), calls=54),
    "configuration files, environment variables, command line, tags, listeners, exceptions": Feature(
        OPTIONS, ("--config", "run.conf", "-r", "10", "Heard", "Failing", "Tagged"), code=7, calls=6,
        env={"LOCUST_RUN_TIME": "60s", "LOCUST_EXCLUDE_TAGS": "z", "FLAVOUR": "sour"},
        files={"run.conf": "users = 3\nexit-code-on-error = 7\ntags = x\n"}),
    "a shape with classes": Feature(SHAPE),
    "workers": Feature(SPREAD, ("-u", "4", "-r", "10", "--processes", "2"), calls=12),
    "plugins that limit iterations": Feature(LIMITED, ("-u", "2", "-r", "10", "-t", "30s")),
    "functions of pytest": Feature(PYTEST, ("-u", "2", "-r", "10"), calls=12, head=COUNT),
}  # fmt: skip

#: Programs of their own: what Locust offers to those beside its command line. `Kind` and `call` as in `HEAD`.
LIBRARY = (
    COUNT
    + """
import sys
from locust import HttpUser, constant, task
from locust.env import Environment
if os.environ["KIND"] == "plain":
    Kind = HttpUser
    def call(user, name): user.client.get("/counts", name=name)
else:
    from sioload import SocketIOUser as Kind
    def call(user, name): user.sio.call("echo", 1, name=name)
class Mine(Kind):
    host = os.environ["TARGET"]
    abstract = True
    wait_time = constant(0.05)
    def on_start(self): print("- start")
    def on_stop(self): print("- stop")
"""
)
RUNNER = (
    LIBRARY
    + """
done = []
class Staying(Mine):
    @task
    def a(self):
        call(self, "a")
        print("- a")
        done.append("a")
        gevent.sleep(100)
environment = Environment(user_classes=[Staying])
for event in ("test_start", "test_stopping", "test_stop", "spawning_complete"):
    getattr(environment.events, event).add_listener(lambda event=event, **_: print("-", event))
runner = environment.create_local_runner()
begin(environment, runner)
def until(calls):
    while len(done) < calls:
        gevent.sleep(0.05)
for users in (2, 1):
    runner.start(users, spawn_rate=10)
    until(len(done) + users)
    runner.stop()
    gevent.sleep(0.2)
    print("-", runner.state, runner.user_count)
runner.start(1, spawn_rate=10)
until(len(done) + 1)
runner.quit()
runner.greenlet.join()
environment.events.quit.fire(exit_code=0)
sys.stdout.flush()
os._exit(0)
"""
)
SINGLE = (
    LIBRARY
    + """
from locust import run_single_user
class Alone(Mine):
    @task
    def a(self):
        calls = self.__dict__.setdefault("calls", [])
        call(self, "a")
        calls.append(1)
        if len(calls) == 3:
            gevent.sleep(0.3)
            sys.stdout.flush()
            os._exit(0)
run_single_user(Alone)
"""
)

#: Users that move between workers and pages: each makes one call wherever it begins.
MOVING = (
    HEAD
    + """
class Moving(Base):
    fixed_count = 0
    def on_start(self): note(self, "start")
    def on_stop(self): note(self, "stop")
    @task
    def a(self):
        call(self, "a")
        note(self, "a")
        stay(self)
"""
)
