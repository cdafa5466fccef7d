"""What a user's URL, headers and HTTP client say reaches the server, with each session."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serverkit

SCRIPT = Path(__file__).with_name("reaching.py")
BASIC = "Basic YW5uOnNlOmNyZXQ="  # ann:se:cret
#: Of whom the options give cookies, which are its HTTP client's too.
COOKIES = {"FastFirst": "own=1; told=2; session=1"}


def test_what_reaches_the_server(servers: Callable[..., serverkit.Server], tmp_path: Path) -> None:
    server = servers("sio4")
    server.reset()
    host = server.url.replace("http://", "http://ann:se%3Acret@") + "/?room=7"
    argv = ["-f", SCRIPT, "--host", host, "--headless", "-u", "7", "-r", "10", "-t", "4s", "--only-summary"]
    done = serverkit.run_locust(argv, cwd=tmp_path, env={"BARE": server.url})
    seen: dict[str, list[Any]] = defaultdict(list)
    for line in done.out.splitlines():
        if line.startswith("SAW "):
            _, name, value = line.split(" ", 2)
            seen[name].append(json.loads(value))
    # The login's cookie, the URL's query and its credentials, of either HTTP client, whichever class comes
    # first, and again after a loss.
    for client in ("Logged", "Http", "Fast", "HttpFirst", "FastFirst"):
        assert len(seen[client]) == 2, done.text
        for saw in seen[client]:
            assert (saw["cookie"], saw["authorization"]) == (COOKIES.get(client, "session=1"), BASIC)
            assert saw["query"]["room"] == "7"
    asked = [request for request in server.requests() if request["url"].startswith("/asked")]
    assert [request["url"] for request in asked] == ["/asked?room=7"] * 5
    assert all(request["headers"]["authorization"] == BASIC for request in asked)
    cookies = sorted(request["headers"]["cookie"] for request in asked)
    assert cookies == sorted(["session=1"] * 4 + [*COOKIES.values()])
    # A function is asked for each session, and what takes the headers' place counts for the next.
    told = [(saw["query"]["n"], saw["headers"]["x-token"]) for saw in seen["Functions"]]
    assert told == [("1", "t1"), ("2", "t2")], done.text
    assert seen["Given"] == ["second", "third"], done.text
    # A path in connect()'s URL is the namespace of every call that names none.
    assert seen["Path"] == [[["/chat"], 1, ["x"], ["y"]]], done.text
    printed = done.out + done.err
    assert "room=7" not in printed.replace('"/socket.io/?room=7', "").replace(host, ""), done.text
    rows = {tuple(line.split()[:2]) for line in done.out.splitlines()}
    assert {("GET", "renamed"), ("GET", "/asked")} <= rows, done.text
    assert "Traceback" not in done.text, done.text


CHANGING = """
from locust import constant, events, task
from sioload import SocketIOUser

class Changed(SocketIOUser):
    wait_time = constant(0.1)
    options = {"transports": ["polling", "websocket"]}

    @task
    def ask(self):
        self.sio.call("echo", 1)
        self.environment.runner.quit()

@events.init.add_listener
def begin(environment, **_):
    if environment.parsed_options.bare:
        Changed.options["transports"].remove("websocket")

@events.init_command_line_parser.add_listener
def option(parser, **_):
    parser.add_argument("--bare", action="store_true")
"""


def test_options_count_as_they_are_when_users_begin(target: serverkit.Server, tmp_path: Path) -> None:
    """A script that has read the command line changes the class's options in their place."""
    (tmp_path / "locustfile.py").write_text(CHANGING)
    report = tmp_path / "report.json"
    args = ["-f", "locustfile.py", "--host", target.url, "--headless", "-t", "20s", "--sio-report", report]
    seen = []
    for more in ([], ["--bare"]):
        done = serverkit.run_locust([*args, *more], cwd=tmp_path)
        assert done.code == 0, done.text
        seen.append(json.loads(report.read_text())["connections"]["upgraded"])
    assert seen == [1, 0]


EACH_ITS_OWN = """
import os
from locust import constant, task
from sioload import SocketIOUser

class Spread(SocketIOUser):
    wait_time = constant(0.1)

    @property
    def host(self):
        return os.environ["TARGET"]

    @task
    def ask(self):
        self.sio.call("echo", 1)
        self.environment.runner.quit()
"""


def test_a_host_may_be_a_property(target: serverkit.Server, tmp_path: Path) -> None:
    """As with Locust's own users: each asks for its own."""
    (tmp_path / "locustfile.py").write_text(EACH_ITS_OWN)
    report = tmp_path / "report.json"
    args = ["-f", "locustfile.py", "--headless", "-t", "20s", "--sio-report", report]
    done = serverkit.run_locust(args, cwd=tmp_path, env={"TARGET": target.url})
    assert done.code == 0, done.text
    found = json.loads(report.read_text())
    assert found["host"] == "" and found["ledger"]["acked"] == 1


def test_a_host_that_cannot_be_used_is_told_with_its_remedy(tmp_path: Path) -> None:
    """Also where it isn't known before load, and longer than a row's message may be."""
    (tmp_path / "locustfile.py").write_text(EACH_ITS_OWN)
    args = ["-f", "locustfile.py", "--headless", "-t", "2s"]
    done = serverkit.run_locust(args, cwd=tmp_path, env={"TARGET": "http://127.0.0.1:9/app"})
    assert done.code == 1, done.text
    (told,) = [line for line in done.err.splitlines() if "users of Spread can't start" in line]
    assert "has a path: " in told and "the server's own path as the option path (said once" in told, told


NOWHERE = """
import os
from locust import constant, task
from sioload import SocketIOUser

class Guest(SocketIOUser):
    wait_time = constant(0.1)

    def on_start(self):
        self.client.post(os.environ["AT"] + "/login", json={})
        self.sio.connect(os.environ["AT"])

    @task
    def ask(self):
        print("SAW", self.sio.call("handshake")["cookie"])
        self.environment.runner.quit()
"""


def test_users_without_a_host_may_log_in_where_they_connect(
    servers: Callable[..., serverkit.Server], tmp_path: Path
) -> None:
    (tmp_path / "locustfile.py").write_text(NOWHERE)
    argv = ["-f", "locustfile.py", "--headless", "-t", "20s", "--only-summary"]
    done = serverkit.run_locust(argv, cwd=tmp_path, env={"AT": servers("sio4").url})
    assert done.code == 0 and "SAW session=1" in done.out, done.text
