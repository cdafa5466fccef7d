"""`sioload try` against real servers: every packet as it passed, and what was odd with its remedy."""

from __future__ import annotations

import json
import signal
import socket
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import proxykit
import pytest
import serverkit
import tapekit
import trustme
from faults.hostile import Hostile, Peer

from sioload.socketio.generations import VERSIONS

HERE = Path(__file__).parent
SERVERS = {
    "0.9": (("sio0",), {"version": 0}),
    "1.7": (("sio1",), {"version": 1}),
    "2.5": (("sio2",), {"version": 2}),
    "3.1": (("sio3",), {"version": 3}),
    "4.8": (("sio4",), {"version": 4}),
    "4.8 msgpack": (("sio4", "--msgpack"), {"version": 4, "parser": "msgpack"}),
    "python 5": (("pysio5",), {"version": 4}),
}
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
QUICK = {("4.8", "upgrade"), ("2.5", "polling"), ("0.9", "websocket")}
Servers = Callable[..., serverkit.Server]


def tried(url: str, *more: str, options: dict[str, Any], seconds: str = "1") -> serverkit.Run:
    env = {"TRIED": json.dumps(options)}
    args = ["try", str(HERE / "tried.py"), "--host", url, "--seconds", seconds, *more]
    return serverkit.run_sioload(args, env=env)


def lines_of(run: serverkit.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.out.splitlines()]


CELLS = [
    pytest.param(server, transport, marks=() if (server, transport) in QUICK else pytest.mark.verify)
    for server in SERVERS
    for transport in TRANSPORTS
    if (server, transport) != ("0.9", "upgrade")
]


@pytest.mark.parametrize("server, transport", CELLS)
def test_the_packets_are_those_that_passed(server: str, transport: str, servers: Servers) -> None:
    kind, options = SERVERS[server]
    with tapekit.taping(servers(*kind).port) as (url, recorded):
        run = tried(url, "--json", "--full", "--show-secrets",
                    options={**options, "transports": TRANSPORTS[transport]})  # fmt: skip
    assert run.code == 0, run.text
    *told, end = lines_of(run)
    assert end["ok"] and end["tasks"] == [
        "task echo",
        "task asked",
        "task utf",
        "task bytes_too",
    ], "each once, the leaves of nested sets too"
    shown: dict[tuple[str, str], list[str]] = {}
    for line in told:
        if "way" in line and line["kind"] not in ("request", "answer"):
            text = line["base64"] if "base64" in line else line["text"]
            shown.setdefault((line["way"], line["transport"]), []).append(text)
    passed: dict[tuple[str, str], list[str]] = {}
    for way, over, text in recorded.packets(VERSIONS[options["version"]]):
        as_text = text if isinstance(text, str) else _base64(text)
        passed.setdefault((way, over), []).append(as_text)
    assert shown.keys() == passed.keys()
    for way in shown:
        if way == ("received", "polling") and passed[way][-1] == "6" and shown[way][-1] != "6":
            passed[way].pop()  # the answer to the last poll, after the client's goodbye was answered
        assert shown[way] == passed[way], way
    rows = {(row["type"], row["name"]) for line in told for row in line.get("rows", ())}
    assert {("CALL", "echo"), ("WAIT", "/chat echo"), ("EMIT", "ask"), ("CONNECT", "/chat")} <= rows
    by_packet = [line for line in told if line.get("kind") == "ack" and line["way"] == "received"]
    assert by_packet and all(line["rows"][0]["type"] == "CALL" for line in by_packet), by_packet


def _base64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


def test_it_reads_well_at_80_columns_and_hides_secrets(servers: Servers) -> None:
    url = servers("sio4").url
    options = {"version": 4, "auth": {"token": "secret"}, "headers": {"Authorization": "Bearer abcdefghij"}}
    run = tried(url, options=options)
    assert max(map(len, run.out.splitlines())) <= 80, run.text
    assert "secret" not in run.out and "abcdefghij" not in run.out
    assert "\x1b" not in run.out, "no colours where nobody looks"
    assert "task echo" in run.out and "CALL echo" in run.out
    assert "(hidden)" in run.out
    shown = tried(url, "--show-secrets", options=options)
    assert '40{"token":"secret"}' in shown.out


def test_secrets_are_hidden_within_base64(servers: Servers) -> None:
    """Of another parser over a websocket as text; whoever was sent the lines could decode it."""
    options = {"version": 4, "parser": "msgpack", "base64": True, "transports": ["websocket"]}
    url = servers("sio4", "--msgpack").url
    for more in ([], ["--show-secrets"]):
        run = tried(url, "--json", "--full", *more, options={**options, "auth": {"token": "of-ann-1"}})
        texts = [line["text"][1:] for line in lines_of(run) if line.get("text", "")[:1] == "b"]
        said = b"".join(map(b64decode, texts))
        assert (b"(hidden)" in said) == (b"of-ann-1" not in said) == (not more), run.text


def last_lines(run: serverkit.Run) -> str:
    return " ".join(" ".join(run.out.splitlines()[-10:]).split())


MISTAKE = """
from locust import task
from sioload import SocketIOUser, on

class Mistaken(SocketIOUser):
    options = {options}

    def on_start(self):
        {start}

    @task
    def one(self):
        {body}

    @on("message")
    def heard(self, *args): ...
"""


def mistaken(tmp_path: Path, url: str, *, options: object = None, start: str = "pass", body: str = "pass",
             seconds: str = "0.5", code: int = 1) -> str:  # fmt: skip
    """The last ten lines of a try of such a script."""
    script = tmp_path / "locustfile.py"
    script.write_text(MISTAKE.format(options=options or {}, start=start, body=body))
    args = ["try", str(script), "--host", url, "--seconds", seconds]
    run = serverkit.run_sioload(args)
    assert run.code == code, run.text
    assert "Traceback" not in run.text, run.text
    return last_lines(run)


def has(text: str, parts: Sequence[str]) -> None:
    assert all(part in text for part in parts), text


ONE_SHOT = """
from locust import task
from locust.exception import StopUser
from sioload import SocketIOUser

class OneShot(SocketIOUser):
    def on_start(self):
        self.sio.connect()
        {start}

    @task
    def first(self):
        self.sio.call("echo", 1)
        raise StopUser

    @task
    def second(self):
        self.sio.call("echo", 2)
        raise StopUser
"""


def test_a_task_that_ends_its_user_keeps_no_other_from_being_seen(
    node4: serverkit.Server, tmp_path: Path
) -> None:
    """As in scripts for sessions per second: "1 of 1 tasks" was said of two."""
    script = tmp_path / "locustfile.py"
    args = ["try", str(script), "--host", node4.url, "--seconds", "0.5", "--json"]
    for start, tasks, code in (("pass", ["task first", "task second"], 0), ("raise StopUser", [], 1)):
        script.write_text(ONE_SHOT.format(start=start))
        run = serverkit.run_sioload(args)
        assert run.code == code, run.text
        end = lines_of(run)[-1]
        assert (end["ok"], end["tasks"], end["odd"]) == (code == 0, tasks, []), run.text


def test_a_timeout_of_gevents_is_a_tasks_failure(node4: serverkit.Server, tmp_path: Path) -> None:
    """It is no Exception: it ended the user with a traceback, and what had run was all well."""
    script = tmp_path / "locustfile.py"
    script.write_text(
        "import gevent\nfrom locust import task\nfrom sioload import SocketIOUser\n\n"
        "class Hasty(SocketIOUser):\n"
        "    @task\n    def late(self):\n        with gevent.Timeout(0.1): gevent.sleep(9)\n"
        "    @task\n    def next(self): self.sio.call('echo', 1)\n"
    )
    run = serverkit.run_sioload(["try", str(script), "--host", node4.url, "--seconds", "0.5", "--json"])
    assert run.code == 1 and "Traceback" not in run.text, run.text
    end = lines_of(run)[-1]
    assert end["tasks"] == ["task late", "task next"], run.text
    assert [each["what"] for each in end["odd"]] == ["task late: Timeout: 0.1 seconds (locustfile.py:8)"], (
        run.text
    )


def test_an_on_stop_that_raises_is_told_as_a_task_is(node4: serverkit.Server, tmp_path: Path) -> None:
    """It was a traceback, and the exit code 0."""
    script = tmp_path / "locustfile.py"
    script.write_text(
        "from locust import task\nfrom sioload import SocketIOUser\n\nclass Leaver(SocketIOUser):\n"
        "    @task\n    def ask(self): self.sio.call('echo', 1)\n"
        "    def on_stop(self):\n        self.sio.call('echo', 2)\n        raise ValueError('no way out')\n"
    )
    run = serverkit.run_sioload(["try", str(script), "--host", node4.url, "--seconds", "0.5", "--json"])
    assert run.code == 1 and "Traceback" not in run.text, run.text
    odd = lines_of(run)[-1]["odd"]
    assert [each["what"] for each in odd] == ["on_stop: ValueError: no way out (locustfile.py:9)"]
    assert '["echo",2]' in run.out.replace("\\", ""), "it was run"


def test_a_misspelt_event(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, body="self.sio.call('mesage', {'a': 1}, timeout=0.5)"),
        ["CALL mesage: no ack in time", "It knows 'message'"])  # fmt: skip


def test_a_handler_that_never_acks(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, body="self.sio.call('silent', timeout=0.5)"),
        ["CALL silent: no ack in time", "never calls its ack", "emit()"])  # fmt: skip


def test_a_wrong_namespace(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, start="self.sio.connect(namespaces=['/chatt'])"),
        ["Invalid namespace", "check its name"])  # fmt: skip


def test_a_handler_of_another_connection(node4: serverkit.Server, tmp_path: Path) -> None:
    """It is the one that was registered there, and what it is for isn't what is odd."""
    start = (
        "self.other = self.another_client()\n        self.other.on('question', lambda *args: 'yes')\n"
        "        self.other.on('answered', lambda *args: None)"
    )
    body = "self.other.connect(); self.other.emit('ask', 1); self.sio.sleep(0.3)"
    said = mistaken(tmp_path, node4.url, start=start, body=body, code=0)
    assert "1 of 1 tasks ran without a failure" in said and "no handler" not in said


def test_credentials_that_are_missing(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, start="self.sio.connect(namespaces=['/private'])"),
        ["not authorized", "auth"])  # fmt: skip


def test_a_fixed_wrong_version(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, options={"version": 2}), ["version"])


def test_a_parser_that_the_generation_cant_have(servers: Servers, tmp_path: Path) -> None:
    """It was a traceback, for whoever is followed."""
    has(mistaken(tmp_path, servers("sio0").url, options={"parser": "msgpack"}),
        ["CONNECT /: open: parser: Socket.IO 0.9 has no other than json"])  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "option", "parser"), [("sio4", ["--msgpack"], "json"), ("sio4", [], "msgpack")]
)
def test_another_parser_than_the_servers(
    servers: Servers, tmp_path: Path, kind: str, option: list[str], parser: str
) -> None:
    options = {"parser": parser, "transports": ["websocket"]}
    has(
        mistaken(tmp_path, servers(kind, *option).url, options=options),
        ["closed by the server", "option parser="],
    )


def test_a_refused_handshake_of_0_9_came_on_the_transport_that_it_was_asked_for_on() -> None:
    def refuse(peer: Peer) -> None:
        peer.request()
        peer.reply(403, b"no")

    with Hostile(refuse) as server:
        run = tried(server.url, "--json", options={"version": 0, "transports": ["polling"]})
    passed = [(line["way"], line["transport"]) for line in lines_of(run) if "transport" in line]
    assert passed[:2] == [("sent", "polling"), ("received", "polling")], run.text


def test_an_origin_that_the_server_refuses(servers: Servers, tmp_path: Path) -> None:
    options = {"headers": {"Origin": "http://elsewhere.test"}}
    has(mistaken(tmp_path, servers("target").url, options=options), ["origin", "Origin"])


def test_a_message_above_max_payload(servers: Servers, tmp_path: Path) -> None:
    url = servers("sio4", "--max-payload", "5000").url
    has(mistaken(tmp_path, url, body="self.sio.call('echo', 'x' * 6000, timeout=1)"),
        ["maxPayload of 5000", "maxHttpBufferSize"])  # fmt: skip


def test_an_emit_before_anything_is_connected(node4: serverkit.Server, tmp_path: Path) -> None:
    has(mistaken(tmp_path, node4.url, start="self.sio.emit('join', 'room')"),
        ["EMIT join: not connected: call connect() first", "self.sio.connect() goes before it"])  # fmt: skip


@pytest.mark.parametrize(
    ("start", "body", "failure"),
    [
        ("pass", "self.sio.emit('disconnect')", "EMIT disconnect: 'disconnect' is reserved"),
        ("pass", "self.sio.call('echo', {1})", "CALL echo: data[0]: set can't be sent as JSON"),
        (
            "self.sio.connect(auth={'a': {1}})",
            "pass",
            "CONNECT /: connect: auth.a: set can't be sent as JSON",
        ),
    ],
)
def test_what_was_never_sent(
    node4: serverkit.Server, tmp_path: Path, start: str, body: str, failure: str
) -> None:
    """No log of the server's tells of it."""
    said = mistaken(tmp_path, node4.url, start=start, body=body)
    has(said, [failure, "→ the server was never told: mend what the script sends"])
    assert said.count("→") == 1, said


def test_a_login_that_failed(node4: serverkit.Server, tmp_path: Path) -> None:
    start = "self.client.post('/logn'); self.sio.connect(namespaces=['/private'])"
    has(mistaken(tmp_path, node4.url, start=start), ["POST /logn", "404", "login"])


def test_a_path_without_its_slash(servers: Servers, tmp_path: Path) -> None:
    """It is no mistake here: both forms are asked for."""
    options = {"path": "/socket.io"}
    has(mistaken(tmp_path, servers("sio4").url, options=options, code=0), ["1 of 1 tasks ran"])


def test_polling_without_sticky_sessions(tmp_path: Path) -> None:
    with serverkit.running("sio4") as one, serverkit.running("sio4") as other:
        ports = f"  server a 127.0.0.1:{one.port}\n  server b 127.0.0.1:{other.port}"
        with proxykit.haproxy("", f"  balance roundrobin\n{ports}") as url:
            has(mistaken(tmp_path, url, options={"transports": ["polling"]}), ["sticky sessions"])


def test_a_proxy_that_cuts_idle_connections(node4: serverkit.Server, tmp_path: Path) -> None:
    location = "location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; proxy_read_timeout 1s;" \
        " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }"  # fmt: skip
    with proxykit.nginx(location % node4.port) as url:
        told = mistaken(tmp_path, url, options={"transports": ["websocket"]}, seconds="2")
    has(told, ["nothing was said", "proxy_read_timeout", "pingInterval", "every 25 s"])


def test_a_self_signed_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(str(cert))
    authority.private_key_pem.write_to_path(str(key))
    with serverkit.running("sio4", "--cert", str(cert), "--key", str(key)) as server:
        has(mistaken(tmp_path, server.url), ["self-signed", "ca_file", "tls_verify"])


@pytest.mark.parametrize("name", ["/", "/chat"])
def test_a_server_that_sends_its_users_away_for_good(name: str, tmp_path: Path) -> None:
    """A user of a run would go on trying for as long as the run lasts, this one for as long as it has."""

    def script(peer: Peer) -> None:
        if peer.number > 1:
            peer.request()
            peer.reply(503, b"closed for good")
            return
        peer.connected()
        if name == "/":
            peer.text("41")
            peer.hold()
        peer.frame_in()
        peer.text('40/chat,{"sid":"c"}')
        peer.text("41/chat,")
        while True:
            peer.frame_in()
            peer.text('44/chat,{"message":"closed for good"}')

    names = ["/"] if name == "/" else ["/", "/chat"]
    sent_away = "[self.sio.sleep(0.01) for _ in iter(lambda: self.sio.kicked, True)]"
    start = f"self.sio.connect(namespaces={names}); {sent_away}"
    options = {"version": 4, "transports": ["websocket"], "reconnection_delay": 0.05}
    with Hostile(script) as server:
        told = mistaken(tmp_path, server.url, options=options, start=start, seconds="1.5")
    has(told, ["closed for good", "No task ran"])


def test_a_url_needs_no_script(target: serverkit.Server) -> None:
    args = ["try", target.url, "--emit", "echo", "--data", '{"a":1}', "--ack", "--seconds", "0.5"]
    run = serverkit.run_sioload(args)
    assert run.code == 0 and "CALL echo" in run.out and '420["echo",{"a":1}]' in run.out, run.text
    run = serverkit.run_sioload(["try", target.url, "--seconds", "0.5"])
    assert run.code == 0 and "joined /" in run.out, run.text
    run = serverkit.run_sioload(["try", f"http://127.0.0.1:{serverkit.free_port()}"])
    assert run.code == 1, run.text
    has(last_lines(run), ["nothing answers on 127.0.0.1 port", "start the server"])


def test_phases_of_a_projects_configuration_are_of_its_runs(target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text("sio-phases = 0..5/s over 1m\nsio-session-length = 30s\n")
    script = HERE.parent.parent / "locustfiles" / "echo.py"
    args = ["try", str(script), "--host", target.url, "--seconds", "0.5"]
    run = serverkit.run_sioload(args, cwd=tmp_path)
    assert run.code == 0 and "1 of 1 tasks ran" in run.out, run.text


@pytest.mark.parametrize(("kind", "given"), [("sio4", "query"), ("sio2", "auth_token")])
def test_the_doctors_questions_carry_the_users_query_as_its_own_do(
    kind: str, given: str, servers: Servers, tmp_path: Path
) -> None:
    server = servers(kind)
    server.reset()
    token = "a&b=c+d #é"
    options = {given: {"token": token} if given == "query" else token, "namespaces": ["/none"]}
    options |= {"reconnection": False}
    mistaken(tmp_path, server.url, options=options, start="self.sio.connect()", seconds="0.5")
    asked = [request["url"] for request in server.requests() if request["url"].startswith("/socket.io/")]
    assert len(asked) > 5, "the doctor asked too"
    assert not [url for url in asked if "?token=a%26b%3Dc%2Bd%20%23%C3%A9&" not in url]


def test_tags_of_the_project_around_keep_no_task_from_running(
    target: serverkit.Server, tmp_path: Path
) -> None:
    (tmp_path / "locust.conf").write_text("tags = login\n")
    args = ["try", target.url, "--emit", "echo", "--ack", "--seconds", "0.5"]
    done = serverkit.run_sioload(args, cwd=tmp_path)
    assert done.code == 0 and "1 of 1 tasks ran without a failure" in done.out, done.text


EACH_ITS_OWN = """
import os
from locust import task
from sioload import SocketIOUser

class Spread(SocketIOUser):
    @property
    def host(self):
        return os.environ["TARGET"]

    @task
    def ask(self):
        self.sio.call("echo", 1)
"""


@pytest.mark.parametrize("up", [True, False])
def test_a_host_may_be_a_property(up: bool, target: serverkit.Server, tmp_path: Path) -> None:
    (tmp_path / "spread.py").write_text(EACH_ITS_OWN)
    env = {"TARGET": target.url if up else "http://127.0.0.1:1"}
    done = serverkit.run_sioload(["try", "spread.py", "--seconds", "0.5"], cwd=tmp_path, env=env)
    assert done.code == (0 if up else 1) and "Traceback" not in done.text, done.text
    assert done.out.startswith("Spread on a host of its own\n")
    assert ("1 of 1 tasks ran" if up else "nothing answers on 127.0.0.1 port 1") in done.out, done.text


MAKING = """
from locust import task
from sioload import SocketIOUser

class Made(SocketIOUser):
    weight = 0

    def __init__(self, environment):
        {before}
        super().__init__(environment)
        {after}

    @task
    def ask(self):
        self.sio.call("echo", 1)
"""


@pytest.mark.parametrize("before, after", [("1 / 0", "pass"), ("pass", "1 / 0"), ("pass", "pass")])
def test_a_user_that_cannot_be_made_is_told(
    before: str, after: str, target: serverkit.Server, tmp_path: Path
) -> None:
    """And one of a class that runs leave out, for it has no weight, is made."""
    (tmp_path / "made.py").write_text(MAKING.format(before=before, after=after))
    args = ["try", "made.py", "--host", target.url, "--seconds", "0.5"]
    done = serverkit.run_sioload(args, 20, cwd=tmp_path)
    broken = "1 / 0" in (before, after)
    assert done.code == broken, done.text
    told = "- __init__: ZeroDivisionError: division by zero (made.py:" if broken else "1 of 1 tasks ran"
    assert told in done.out, done.text


def test_tasks_that_a_run_refuses_are_refused(target: serverkit.Server, tmp_path: Path) -> None:
    """A coroutine would be made, and never run: a task without a failure."""
    script = MISTAKE.replace("def one(", "async def one(")
    (tmp_path / "mistaken.py").write_text(script.format(options={}, start="pass", body="pass"))
    done = serverkit.run_sioload(["try", "mistaken.py", "--host", target.url], cwd=tmp_path)
    assert done.code == 2 and len(done.err.splitlines()) == 1, done.text
    assert "Mistaken.one is async, and nothing would await it" in done.err


NO_HOST = """
from locust import task
from sioload import SocketIOUser

class Own(SocketIOUser):
    def on_start(self):
        self.sio.connect({given})

    @task
    def ask(self):
        self.sio.call("echo", "hi", timeout=5)
"""


def test_a_script_may_name_the_server_itself(target: serverkit.Server, tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(NO_HOST.format(given=repr(target.url)))
    done = serverkit.run_sioload(["try", "own.py", "--seconds", "0.5"], cwd=tmp_path)
    assert done.code == 0 and "1 of 1 tasks ran without a failure" in done.out, done.text
    script.write_text(NO_HOST.format(given=""))
    done = serverkit.run_sioload(["try", "own.py", "--seconds", "0.5"], cwd=tmp_path)
    assert done.code == 1 and "no URL: set host on the user class, pass --host" in done.out, done.text
    assert "nobody was asked: say where the server is" in done.out, done.text


@pytest.mark.parametrize("silent", [True, False])
def test_ctrl_c_ends_it_at_once_with_what_was_seen(silent: bool, target: serverkit.Server) -> None:
    """Where nothing was joined, the doctor asked its questions first, which took seconds."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}" if silent else target.url
        with serverkit.Process(serverkit.sioload(["try", url, "--seconds", "60"])) as process:
            process.wait_for("transport=polling" if silent else "task listen", 20)
            process.signal(signal.SIGINT)
            assert process.wait(20) == 130, str(process)
            assert "Traceback" not in process.err and "no complete answer" not in process.out, str(process)
            end = "No task ran." if silent else "1 of 1 tasks ran without a failure."
            assert process.out.splitlines()[-1] == end, str(process)


def test_what_cannot_be_understood_is_shown_as_it_came() -> None:
    def script(peer: Peer) -> None:
        peer.connected()
        if peer.number == 1:
            peer.text("9x")
        peer.hold()

    with Hostile(script) as server:
        options = ("--transports", "websocket", "--version", "4", "--seconds", "1")
        run = serverkit.run_sioload(["try", server.url, *options])
    said = run.out.splitlines()
    (at,) = [n for n, line in enumerate(said) if "not understood: unknown Engine.IO packet type '9'" in line]
    assert said[at + 1].strip() == "9x" and run.code == 1, run.text
    assert "- DISCONNECT protocol error: unknown Engine.IO packet type '9'" in said, run.text
    assert "  → check the option version, and what stands between here and the server" in said, run.text


def test_bad_usage_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    for args, said in (
        (["nothere.py"], "nothere.py"),
        ([str(broken)], "nothing_of_this_name"),
        (["http://127.0.0.1:1/chat"], "--namespace /chat"),
        (["https://127.0.0.1:1", "--option", "ca_file=no-such-file.pem"], "no-such-file.pem: [Errno 2]"),
        ([str(HERE / "tried.py"), "--emit", "x"], "--emit says what users do"),
        ([str(HERE.parent.parent / "locustfiles" / "echo.py"), "--user", "EchoUsr"], "'EchoUser'"),
        ([str(serverkit.ROOT / "tests" / "forked.py")], "has no class that is a SocketIOUser"),
    ):
        run = serverkit.run_sioload(["try", *args], cwd=tmp_path)
        assert run.code == 2 and len(run.err.splitlines()) == 1 and said in run.err, run.text


def test_a_terminal_of_another_encoding_is_told_everything(target: serverkit.Server) -> None:
    """It has no arrows: they are question marks, and no traceback in place of each packet."""
    env = {"PYTHONIOENCODING": "latin-1"}
    done = serverkit.run_sioload(["try", "locustfiles/echo.py", "--host", target.url], env=env)
    assert done.code == 0 and "Traceback" not in done.err, done.text
    assert " s ? websocket " in done.out and "CALL echo" in done.out


def test_a_long_exception_of_a_task_is_cut(node4: serverkit.Server, tmp_path: Path) -> None:
    """What is too long for a page still says where it was."""
    said = mistaken(tmp_path, node4.url, body="raise LookupError('so much ' * 400 + 'of it')")
    has(
        said,
        [
            "What was odd - task one: LookupError: so much so much",
            "so much of it (",
            "locustfile.py:13)",
            "0 of 1 tasks",
        ],
    )
