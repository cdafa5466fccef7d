"""Functions of a script that would never run: one line with the remedy and exit code 2, before any load."""

from __future__ import annotations

from pathlib import Path

import pytest
import serverkit

HEAD = """
from locust import SequentialTaskSet, TaskSet, constant, task
from sioload import SocketIOUser, on

class Base(SocketIOUser):
    abstract = True
    host = "http://127.0.0.1:9"
    wait_time = constant(1)

    @task
    def ask(self):
        self.sio.call("echo", 1)
"""
ASYNC = "is async, and nothing would await it: write def in place of async def"
REFUSED = {
    "a task": (
        "class U(Base):\n    @task\n    async def say(self): ...\n",
        f"sioload: U: U.say {ASYNC}",
    ),
    "a task of a set in a set": (
        "class U(Base):\n    @task\n    class Outer(TaskSet):\n        @task\n"
        "        class Inner(SequentialTaskSet):\n            @task\n            async def say(self): ...\n",
        f"sioload: U: Inner.say {ASYNC}",
    ),
    "on_start": (
        "class U(Base):\n    async def on_start(self): ...\n",
        f"sioload: U: U.on_start {ASYNC}",
    ),
    "a hook": (
        "class U(Base):\n    async def on_connected(self): ...\n",
        f"sioload: U: U.on_connected {ASYNC}",
    ),
    "a handler": (
        "class U(Base):\n    @on('news')\n    async def heard(self, news): ...\n",
        f"sioload: U: U.heard {ASYNC}",
    ),
    "a handler in a set of tasks": (
        "class U(Base):\n    @task\n    class Steps(SequentialTaskSet):\n        @task\n"
        "        def step(self): ...\n        @on('news')\n        def heard(self, news): ...\n",
        "sioload: U: Steps.heard: @on is for methods of a user class, and would do nothing in a set of tasks",
    ),
    "a handler with a name that is taken": (
        "class U(Base):\n    @on('stop')\n    def stop(self, news): ...\n",
        "sioload: U: U.stop takes the place of what every user has by this name: give it another one",
    ),
    "a task with a name that is taken": (
        "class Mixin:\n    @task\n    def start(self): ...\nclass U(Mixin, Base): ...\n",
        "sioload: U: Mixin.start takes the place of what every user has by this name: give it another one",
    ),
    "a handler without self": (
        "class U(Base):\n    @staticmethod\n    @on('news')\n    def heard(news): ...\n",
        "sioload: U: U.heard: @on is for plain methods, with self",
    ),
    "a handler of the class": (
        "class U(Base):\n    @on('news')\n    @classmethod\n    def heard(cls, news): ...\n",
        "sioload: U: U.heard: @on is for plain methods, with self",
    ),
    "two handlers of one event": (
        "class U(Base):\n    @on('news')\n    def one(self, news): ...\n"
        "    @on('news')\n    def two(self, news): ...\n",
        "sioload: U: U.one and U.two are both @on('news'), and one of them would never be called",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_function_that_would_never_run(what: str, tmp_path: Path) -> None:
    body, said = REFUSED[what]
    (tmp_path / "locustfile.py").write_text(HEAD + body)
    done = serverkit.run_locust(["-f", "locustfile.py", "--headless", "-t", "1s"], cwd=tmp_path)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err, done.text
    assert done.err.splitlines()[-1].startswith(said), done.text


RUNS = """
class Steps(SequentialTaskSet):
    @task
    def again(self):
        self.user.sio.call("message", 2)
        self.user.sio.sleep(0.2)
        self.user.environment.runner.quit()

class Other:
    @on("news", namespace="/chat")
    @on("news")
    @on("more")
    def heard(self, news): ...

    same = heard

class Hearer(Base):
    abstract = True
    tasks = [Steps]

    @on("message", name="said")
    def said(self, message): print("HEARD above", message)

class U(Other, Hearer):
    options = {"namespaces": ["/"]}

    @on("news")
    def own(self, news): ...

    def said(self, message): print("HEARD", message)

    @task
    def wait(self): self.sio.sleep(0.01)
"""


def test_handlers_may_be_inherited_shared_and_replaced(target: serverkit.Server, tmp_path: Path) -> None:
    """What takes the place of a handler is one, of the same row."""
    (tmp_path / "locustfile.py").write_text(HEAD + RUNS)
    args = ["-f", "locustfile.py", "--headless", "--host", target.url, "-t", "20s"]
    done = serverkit.run_locust([*args, "--sio-check", "RECV[said]: count == 1"], cwd=tmp_path)
    assert done.code == 0, done.text
    assert [line for line in done.out.splitlines() if line.startswith("HEARD")] == ["HEARD 2"], done.text
