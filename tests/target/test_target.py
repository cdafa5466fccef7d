"""The embedded target, driven by official clients and raw websockets: behaviours and exact counts."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serverkit import Oracle, Process, Server, command, http_json, need_node, run, running, start
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

BYTES = {"$bytes": base64.b64encode(b"\x00\xff\x80A").decode()}
TRANSPORTS = ["polling", "websocket", "polling,websocket"]
Drive = Callable[..., list[list[Any]]]


def drive_python(url: str, script: Sequence[Any], *options: str) -> list[list[Any]]:
    argv = [sys.executable, "tests/servers/client.py", "--url", url, *options, "--script", json.dumps(script)]
    done = run(argv, 30)
    assert done.code == 0 and not done.err, done.text
    return [[line["step"], line["args"]] for line in map(json.loads, done.out.splitlines())]


def drive_node(url: str, script: Sequence[Any], *options: str) -> list[list[Any]]:
    need_node("client4")
    return Oracle("client4").run(url, script, *options)


@pytest.fixture(params=[drive_python, drive_node], ids=["python", "node"])
def drive(request: pytest.FixtureRequest) -> Drive:
    function: Drive = request.param
    return function


def settle(server: Server, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The counts, once they are as expected; after five seconds as they are, for the assertion to show."""
    deadline = time.monotonic() + 5
    while not done(counts := server.counts()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return counts


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_events_are_answered_and_counted(target: Server, drive: Drive, transports: str) -> None:
    script = [
        ["call", "echo", 1, "€😀é", {"a": [None, True]}],
        ["call", "echo"],
        ["emit", "echo", 7],
        ["wait", "echo"],
        ["call", "message", {"text": "hi"}],
        ["wait", "message"],
        ["call", "binary", {"data": BYTES}],
        ["emit", "binary", BYTES, BYTES],
        ["wait", "binary"],
        ["call", "join", "here"],
        ["call", "message", {"room": "here"}],
        ["wait", "message"],
        ["call", "leave", {"room": "here"}],
        ["call", "message", {"room": "here"}],
    ]
    assert drive(target.url, script, "--transports", transports) == [
        ["echo", [1, "€😀é", {"a": [None, True]}]],
        ["echo", []],
        ["echo", []],
        ["echo", [7]],
        ["message", [{"ok": True}]],
        ["message", [{"text": "hi"}]],
        ["binary", [{"data": BYTES}]],
        ["binary", []],
        ["binary", [BYTES, BYTES]],
        ["join", [{"ok": True, "room": "here"}]],
        ["message", [{"ok": True}]],
        ["message", [{"room": "here"}]],
        ["leave", [{"ok": True, "room": "here"}]],
        ["message", [{"ok": True}]],
    ]
    counts = settle(target, lambda now: now["disconnects"] == {"/": 1})
    assert counts["received"] == {"/": {"echo": 3, "message": 3, "binary": 2, "join": 1, "leave": 1}}
    assert counts["acks"] == {"/": {"echo": 2, "message": 3, "binary": 1, "join": 1, "leave": 1}}
    assert counts["sent"] == {"/": {"echo": 1, "message": 2, "binary": 1}}
    assert (counts["connects"], counts["disconnects"], counts["malformed"]) == ({"/": 1}, {"/": 1}, 0)


def test_chat_wants_the_token(target: Server, drive: Drive) -> None:
    refused = drive(target.url, [["wait", "connect_error"]], "--namespace", "/chat")
    assert refused == [["connect_error", [{"message": "not authorized", "data": {"code": 401}}]]]
    token = ["--namespace", "/chat", "--auth", '{"token": "secret"}']
    assert drive(target.url, [["call", "echo", 1]], *token) == [["echo", [1]]]
    counts = target.counts()
    assert counts["refused"] == {"/chat": 1} and counts["connects"]["/chat"] == 1
    assert counts["received"]["/chat"] == {"echo": 1}


def test_delay_acks_what_it_measured(target: Server) -> None:
    [[_, [seconds]]] = drive_python(target.url, [["call", "delay", 0.05]])
    assert 0.05 <= seconds < 5


def test_news_are_numbered_and_stamped_until_the_rate_is_zero(target: Server) -> None:
    begun = time.time()
    script = [["call", "subscribe", {"rate": 100}], *[["wait", "news"]] * 5, ["call", "subscribe", 0]]
    answers = drive_python(target.url, [*script, ["sleep", 200]])
    news = [args[0] for step, args in answers if step == "news"]
    assert [push["n"] for push in news] == [0, 1, 2, 3, 4]
    stamps = [push["sent"] for push in news]
    assert begun <= stamps[0] and stamps == sorted(stamps) and stamps[-1] <= time.time()
    assert answers[-1] == ["subscribe", [{"ok": True, "rate": 0}]]
    assert 5 <= target.counts()["sent"]["/"]["news"] < 20  # 200 ms more of them would have been 20


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_kick_disconnects_the_caller(target: Server, transports: str) -> None:
    script = [["emit", "kick"], ["wait", "disconnect"]]
    assert [step for step, _ in drive_python(target.url, script, "--transports", transports)] == [
        "kick",
        "disconnect",
    ]
    assert target.counts()["disconnects"] == {"/": 1}


@pytest.mark.parametrize(
    "event, args",
    [
        ("delay", []),
        ("delay", ["soon"]),
        ("delay", [-1]),
        ("delay", [1e9]),
        ("delay", [True]),
        ("subscribe", [{"rate": None}]),
        ("subscribe", [100000]),
        ("join", []),
        ("join", [{"room": 7}]),
        ("leave", [""]),
        ("message", [{"room": []}]),
    ],
)
def test_wrong_arguments_are_answered_plainly(target: Server, event: str, args: list[Any]) -> None:
    [refused, after] = drive_python(target.url, [["call", event, *args], ["call", "echo", 1]])
    assert refused[1][0]["ok"] is False and event in refused[1][0]["error"]
    assert after == ["echo", [1]]


def test_an_event_nobody_knows_is_counted_and_not_acked(target: Server) -> None:
    with opened(target) as raw:
        raw.send('420["nonsense",1]')
        raw.send('421["echo",1]')
        assert raw.recv(5) == "431[1]"
    assert target.counts()["received"] == {"/": {"nonsense": 1, "echo": 1}}
    assert target.counts()["acks"] == {"/": {"echo": 1}}


@contextlib.contextmanager
def opened(server: Server) -> Iterator[ClientConnection]:
    """A raw websocket in the namespace `/`."""
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    with connect(url, compression=None) as raw:
        assert str(raw.recv(5)).startswith("0{")
        raw.send("40")
        assert str(raw.recv(5)).startswith("40{")
        yield raw


def say_goodbye(raw: ClientConnection) -> None:
    """Leave the namespace, then close the session."""
    raw.send("41")
    raw.send("1")


def drain(raw: ClientConnection) -> list[str | bytes]:
    """Everything that comes until the server closes."""
    came: list[str | bytes] = []
    try:
        while True:
            came.append(raw.recv(10))
    except ConnectionClosed:
        return came


@pytest.mark.parametrize(
    "frames",
    [
        ["4"],
        [b""],
        ["42"],
        ["42{}"],
        ["42[]"],
        ["42[1]"],
        ["42[null"],
        ["42" + "[" * 100_000],
        ["49"],
        ["45-"],
        ["43"],
        ["431{}"],
        ["40/chat,[1]"],
        ['451-["binary",{"_placeholder":true,"num":5}]', b"x"],
        ['451-["binary",{"_placeholder":true,"num":"0"}]', b"x"],
        ['451-["binary",{"_placeholder":true,"num":0}]', '42["echo"]'],
        ['451-/chat,["binary",{"_placeholder":true,"num":0}]'],
        [b"stray"],
        [b'2["echo"]'],
    ],
    ids=lambda frames: str(frames)[:40],
)
def test_a_malformed_packet_ends_its_session_alone(target: Server, frames: list[str | bytes]) -> None:
    with opened(target) as other, opened(target) as raw:
        for frame in frames:
            raw.send(frame)
        drain(raw)
        other.send('421["echo",1]')
        assert other.recv(5) == "431[1]"
    counts = settle(target, lambda now: now["disconnects"] == {"/": 2})
    assert counts["malformed"] == 1 and counts["disconnects"] == {"/": 2}
    assert target.process.err == ""


@pytest.mark.parametrize("frame", ["", '["echo",1]', "b4!", "9", "\u0664"])
@pytest.mark.parametrize("upgrading", [False, True])
def test_text_that_is_no_packet_ends_its_session_alone(target: Server, frame: str, upgrading: bool) -> None:
    """Such as a `write()` that left out `42`."""
    with opened(target) as other:
        before = target.counts()["sessions"]
        if upgrading:
            base = f"http://127.0.0.1:{target.port}/socket.io/?EIO=4&transport=polling"
            with urllib.request.urlopen(base, timeout=5) as answer:
                sid = json.loads(answer.read()[1:])["sid"]
            url = f"ws://127.0.0.1:{target.port}/socket.io/?EIO=4&transport=websocket&sid={sid}"
            with connect(url, compression=None) as raw:
                raw.send(frame)
                drain(raw)
        else:
            with opened(target) as raw:
                raw.send(frame)
                drain(raw)
            now = settle(target, lambda now: now["sessions"] == before)
            assert (now["sessions"], now["disconnects"]) == (before, {"/": 1})
        other.send('421["echo",1]')
        assert other.recv(5) == "431[1]"
    assert target.process.err == ""


@pytest.mark.parametrize("body", ["x", '["echo",1]', '421["echo",1]\x1ex', "4\x1e", "b4", "9", "d=x"])
def test_a_post_of_no_packets_ends_its_session_alone(target: Server, body: str) -> None:
    """It isn't said to have come."""
    base = f"http://127.0.0.1:{target.port}/socket.io/?EIO=4&transport=polling"
    with opened(target) as other:
        before = target.counts()["sessions"]
        with urllib.request.urlopen(base, timeout=5) as answer:
            sid = json.loads(answer.read()[1:])["sid"]
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{base}&sid={sid}", body.encode(), timeout=5)
        other.send('421["echo",1]')
        assert other.recv(5) == "431[1]"
        now = settle(target, lambda now: now["sessions"] == before)
        assert (now["sessions"], now["received"]) == (before, {"/": {"echo": 1}})
    assert target.process.err == ""


def test_binary_may_come_as_base64_on_a_websocket(target: Server) -> None:
    """As servers take it; it was the end of the session."""
    data = b"\x00\xffA"
    with opened(target) as raw:
        raw.send('451-1["binary",{"_placeholder":true,"num":0}]')
        raw.send("b" + base64.b64encode(data).decode())
        assert (raw.recv(5), raw.recv(5)) == ('461-1[{"_placeholder":true,"num":0}]', data)
    assert target.process.err == ""


def test_text_that_is_not_utf8_closes_the_websocket(target: Server) -> None:
    with opened(target) as raw:
        raw.send(b"\xff\xfe", text=True)
        drain(raw)
    assert settle(target, lambda now: now["disconnects"] == {"/": 1})["disconnects"] == {"/": 1}
    assert target.process.err == ""


def test_all_packets_of_one_post_are_taken(target: Server) -> None:
    base = "/socket.io/?EIO=4&transport=polling"
    plain = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)

    def request(method: str, url: str, body: str | None = None) -> str:
        plain.request(method, url, body)
        return plain.getresponse().read().decode()

    sid = json.loads(request("GET", base)[1:])["sid"]
    packets = ["40", *(f'42{i}["echo",{i}]' for i in range(100))]
    assert request("POST", f"{base}&sid={sid}", "\x1e".join(packets)) == "OK"
    answers = request("GET", f"{base}&sid={sid}").split("\x1e")
    assert answers[1:] == [f"43{i}[{i}]" for i in range(100)]
    assert request("POST", f"{base}&sid={sid}", "1") == "OK"
    plain.close()


def test_sent_is_what_each_receiver_got_even_when_users_leave_meanwhile(target: Server) -> None:
    """Leavers say goodbye in the middle of the broadcasts and read on until the server closes."""

    def heard(number: int) -> Callable[[dict[str, Any]], bool]:
        return lambda counts: counts["received"].get("/", {}).get("message") == number

    messages, stayers, leavers = 300, 3, 5
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(opened(target)) for _ in range(stayers + leavers)]
        with ThreadPoolExecutor(len(connections)) as pool:
            readers = [pool.submit(drain, raw) for raw in connections]
            for number in range(messages):
                connections[0].send(f'42["message",{number}]')
                if number % 50 == 25:
                    settle(target, heard(number + 1))
                    if number // 50 < leavers:
                        say_goodbye(connections[stayers + number // 50])
            settle(target, heard(messages))
            for stayer in connections[:stayers]:
                say_goodbye(stayer)
            came = [sum(str(frame).startswith("42") for frame in reader.result(20)) for reader in readers]
    counts = target.counts()
    assert came[:stayers] == [messages] * stayers
    assert all(0 < pushes < messages for pushes in came[stayers:])
    assert counts["sent"]["/"]["message"] == sum(came)
    assert counts["disconnects"] == {"/": stayers + leavers}


def test_users_that_vanish_harm_nobody(target: Server) -> None:
    with opened(target) as raw, contextlib.ExitStack() as stack:
        for other in [stack.enter_context(opened(target)) for _ in range(5)]:
            linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
            other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            other.socket.close()
        for number in range(50):
            raw.send(f'42{number}["message",{number}]')
        acks = [frame for frame in (raw.recv(5) for _ in range(100)) if str(frame).startswith("43")]
        assert len(acks) == 50
        counts = settle(target, lambda now: now["disconnects"] == {"/": 5})
        assert counts["disconnects"] == {"/": 5}
    assert target.process.err == ""


def test_heartbeats_keep_users_and_cut_silent_ones() -> None:
    with running("target", "--ping-interval", "1", "--ping-timeout", "1") as server:
        with opened(server) as silent, opened(server) as lively:
            answered = 0
            while answered < 3:
                if lively.recv(5) == "2":
                    lively.send("3")
                    answered += 1
            drain(silent)
            lively.send('420["echo",1]')
            assert lively.recv(5) == "430[1]"
        assert settle(server, lambda now: now["disconnects"] == {"/": 2})["disconnects"] == {"/": 2}


def test_login_sets_a_cookie_and_hands_out_the_token(target: Server) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    for body, status in [
        ('{"user": "ada"}', 200),
        ("", 400),
        ("nonsense", 400),
        ("[1]", 400),
        ('{"user": 1}', 400),
    ]:
        plain.request("POST", "/login", body, {"Content-Type": "application/json"})
        answer = plain.getresponse()
        got = json.load(answer)
        assert answer.status == status and got["ok"] is (status == 200)
        assert bool(answer.headers["Set-Cookie"]) is (status == 200)
        assert status != 200 or got["token"] == "secret"
    plain.request("GET", "/nowhere")
    assert plain.getresponse().status == 404
    plain.close()


def test_reset_counts_from_zero(target: Server) -> None:
    drive_python(target.url, [["call", "echo", 1]])
    assert target.counts()["received"]
    target.reset()
    assert not any(value for key, value in target.counts().items() if key != "sessions")
    assert http_json(f"{target.url}/")["server"] == "sioload target"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(number: signal.Signals) -> None:
    server = start("target")
    try:
        with opened(server):
            server.process.signal(number)
            assert server.process.wait(10) == 0
        assert server.process.err == ""
    finally:
        server.process.close()


def test_a_taken_port_and_wrong_options_are_named(target: Server) -> None:
    argv = command("target")
    taken = run([*argv, "--port", str(target.port)], 20)
    assert taken.code == 1 and taken.err.count("\n") == 1 and str(target.port) in taken.err
    wrong = run([*argv, "--ping-interval", "0"], 20)
    assert wrong.code == 2 and "ping_interval" in wrong.err and "Traceback" not in wrong.err


def test_it_is_quiet(target: Server) -> None:
    drive_python(target.url, [["call", "echo", 1]] * 20)
    assert isinstance(target.process, Process)
    assert target.process.out.count("\n") == 1
