"""Functions of a script that would never run: one line with the remedy and exit code 2, before any load."""

from __future__ import annotations

from pathlib import Path

import pytest
import serverkit

import sioload

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
    "a time to wait that is a number": (
        "class U(Base):\n    wait_time = 1\n",
        "sioload: U: U.wait_time is 1, and no function: give constant(1), between(1, 3) or paced(0.5), say",
    ),
    "one of a set of tasks that is a text": (
        "class U(Base):\n    @task\n    class Steps(SequentialTaskSet):\n        wait_time = '1s'\n"
        "        @task\n        def step(self): ...\n",
        "sioload: U: Steps.wait_time is '1s', and no function: give constant(1), between(1, 3) or "
        "paced(0.5), say",
    ),
    "two handlers of one event": (
        "class U(Base):\n    @on('news')\n    def one(self, news): ...\n"
        "    @on('news')\n    def two(self, news): ...\n",
        "sioload: U: U.one and U.two are both @on('news'), and one of them would never be called",
    ),
}

#: What is wrong as soon as Python reads it.
UNREADABLE = {
    "a handler without an event": (
        "class U(Base):\n    @on\n    def heard(self, news): ...\n",
        "sioload: locustfile.py:{line}: @on needs the event's name: @on('message')",
    ),
    "a handler in a namespace that is none": (
        "class U(Base):\n    @on('news', namespace='chat')\n    def heard(self, news): ...\n",
        "sioload: locustfile.py:{line}: on('news'): namespace 'chat' must begin with '/'",
    ),
    "no rate": (
        "from sioload import paced\nclass U(Base):\n    wait_time = paced(0)\n",
        "sioload: locustfile.py:{line}: paced(): the rate must be a number per second, above 0 and at most "
        "100,000, not 0",
    ),
    "arrivals without a rate": (
        "from sioload import Arrivals\nclass Load(Arrivals): ...\n",
        "sioload: Load needs a rate (sessions per second) and a session_length (seconds)",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_wrong_while_the_script_is_read(what: str, tmp_path: Path) -> None:
    """One line with its place, and exit code 2, whoever reads the script."""
    body, said = UNREADABLE[what]
    (tmp_path / "locustfile.py").write_text(HEAD + body)
    lines = f"{HEAD}{body}".splitlines()
    line = said.format(line=lines.index("class U(Base):") + 2) if "{" in said else said
    done = serverkit.run_locust(["--headless", "-t", "1s"], cwd=tmp_path)
    assert (done.code, done.out, done.err) == (2, "", f"{line}\n"), done.text
    with pytest.raises(sioload.UsageError) as raised:
        sioload.run(tmp_path / "locustfile.py", run_time=1)
    assert said.partition(": ")[2].removeprefix("locustfile.py:{line}: ") in str(raised.value)


def test_what_else_the_script_raises_is_as_without_sioload(tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(HEAD + "raise ValueError('mine')\n")
    done = serverkit.run_locust(["--headless", "-t", "1s"], cwd=tmp_path)
    assert done.code == 1 and done.err.splitlines()[-1] == "ValueError: mine", done.text
    assert done.err.startswith("Traceback"), done.text


@pytest.mark.parametrize("what", REFUSED)
def test_a_function_that_would_never_run(what: str, tmp_path: Path) -> None:
    body, said = REFUSED[what]
    (tmp_path / "locustfile.py").write_text(HEAD + body)
    done = serverkit.run_locust(["-f", "locustfile.py", "--headless", "-t", "1s"], cwd=tmp_path)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err, done.text
    assert done.err.splitlines()[-1].startswith(said), done.text


def test_a_user_that_can_never_connect_ends_with_the_reason(tmp_path: Path) -> None:
    """What only a running `on_start` shows: no attempt is made again."""
    body = "class U(Base):\n    def on_start(self): self.sio.connect(namespaces='chat')\n"
    (tmp_path / "locustfile.py").write_text(HEAD + body)
    done = serverkit.run_locust(["--headless", "-u", "2", "-r", "2", "-t", "1s"], cwd=tmp_path)
    said = "namespace 'chat' must begin with '/'"
    assert done.code == 1 and done.err.count(f"sioload: users of U can't start: {said}") == 1, done.text
    assert f"2  CONNECT /: {said}" in done.out and "Traceback" not in done.text, done.text


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
