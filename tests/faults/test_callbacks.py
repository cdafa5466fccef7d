"""User code that raises, blocks, times out or leaves at the worst moment: its own row fails, and no more."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import Any

import pytest
import serverkit
from faults.hostile import Hostile, Peer
from framekit import frame

HEAD = """
from gevent import monkey
monkey.patch_all()
import json, sys, logging
logging.disable()
import gevent, gevent.event
from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler
from sioload.errors import *
from sioload.engineio.urls import parse_url
from sioload.net.fleet import Fleet

url = sys.argv[1]
OPTIONS = {"version": 4, "transports": ["websocket"], "connect_timeout": 2.0, "ack_timeout": 1.0,
           "reconnection_delay": 0.05, "reconnection_delay_max": 0.1}
fleet = Fleet()

def client(**more):
    user = more.pop("user", None)
    handlers = more.pop("handlers", None)
    return SocketIOClient(fleet, {**OPTIONS, **more}, url=url, user=user, handlers=handlers)

def attempt(function, *args, **kwargs):
    try:
        return ["returned", function(*args, **kwargs)]
    except BaseException as error:
        return [type(error).__name__, str(error)]

def end(**told):
    fleet.drain(1.0)
    with gevent.Timeout(1.0, False):
        while len(fleet.deadlines):  # the probe takes its leave of the server
            gevent.sleep(0.01)
    rows = {f"{t.type} {t.name}": [t.count, t.errors] for t in fleet.recorder.totals()}
    print(json.dumps({**told, "ledger": fleet.recorder.ledger.encode(), "rows": rows,
                      "internal": fleet.recorder.internal_errors, "deadlines": len(fleet.deadlines),
                      "members": len(fleet.members), "closed": fleet.recorder.connections.closed}))
"""


def play(server: serverkit.Server | Hostile, script: str, *, internal: bool = False) -> dict[str, Any]:
    """Run a script in a process of its own; its end, with the invariant judged.

    Args:
        internal: the script puts a defect into sioload, which must not be compiled then.
    """
    where = serverkit.plain() if internal else serverkit.ROOT
    done = serverkit.run([sys.executable, "-c", HEAD + textwrap.dedent(script), server.url], 20, cwd=where)
    assert done.code == 0, done.text
    told: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    assert told["ledger"]["open"] == 0, told
    assert bool(told["internal"]) == internal, told
    assert (told["deadlines"], told["members"]) == (0, 0), told
    return told


def test_a_handler_that_lets_a_timeout_out_deafens_nobody(node4: serverkit.Server) -> None:
    told = play(node4, """
        heard = []
        sio = client()
        def handler(n):
            heard.append(n)
            if n == 0:
                with gevent.Timeout(0.01):
                    gevent.sleep(1)
            if n == 1:
                raise ZeroDivisionError("no")
            if n == 2:
                raise gevent.GreenletExit
        sio.on("echo", handler)
        sio.connect()
        for n in range(5):
            sio.emit("echo", n)
            gevent.sleep(0.03)
        gevent.sleep(0.1)
        end(heard=heard)
    """)  # fmt: skip
    assert told["heard"] == [0, 1, 2, 3, 4]
    count, errors = told["rows"]["RECV echo (handler)"]
    assert count == 2 and "ZeroDivisionError: no" in errors


def test_what_comes_right_behind_an_answer_finds_its_script_gone_on() -> None:
    """In one segment: the script that a frame answers waits for what the next one brings, or handles it."""

    def script(peer: Peer) -> None:
        peer.connected()
        peer.send(frame(1, b'42["news",0]'))
        peer.frame_in()
        peer.send(frame(1, b'42["early",1]') + frame(1, b'430["lobby"]') + frame(1, b'42["welcome",1]'))
        peer.frame_in()
        peer.send(frame(1, b'42["a",1]') + frame(1, b'42["b",2]') + frame(1, b'42["news",3]'))
        peer.hold()

    with Hostile(script) as server:
        told = play(server, """
            from sioload.socketio.generations import V4
            fleet.generations = type("Known", (dict,), {"get": lambda self, *_: V4})()
            room, heard = None, []
            sio = client(handlers={("/", "news"): Handler(None, sent_at=None)})
            sio.connect()
            sio.on("early", lambda n: heard.append(["early", room]))
            room = sio.call("join")
            welcome = sio.wait_for("welcome", timeout=2)
            sio.on("welcome", lambda n: heard.append(["never"]))
            with sio.expect("a", timeout=2) as first:
                sio.emit("go")
            second = sio.wait_for("b", timeout=2)
            third = sio.wait_for("news", timeout=2)
            gevent.sleep(0.05)
            end(got=[room, welcome, first.args, second, third], heard=heard)
        """)  # fmt: skip
    assert told["got"] == ["lobby", 1, 1, 2, 3]
    assert told["heard"] == [["early", "lobby"]]


def test_events_that_wait_for_a_handler_take_no_more_than_their_room() -> None:
    """Few large events fill the queue as many small ones do; reading goes on meanwhile."""

    def script(peer: Peer) -> None:
        peer.connected()
        peer.send(frame(1, b'42["big","' + b"x" * 100_000 + b'"]') * 400 + frame(1, b'42["last",1]'))
        peer.hold()

    with Hostile(script) as server:
        told = play(server, """
            sio, heard, gate = client(limits={"payload": 500_000}), [], gevent.event.Event()
            def handler(text):
                gate.wait()
                heard.append(len(text))
            sio.on("big", handler)
            from sioload.socketio.generations import V4
            fleet.generations = type("Known", (dict,), {"get": lambda self, *_: V4})()
            sio.connect()
            sio.wait_for("last", timeout=5)
            gate.set()
            gevent.sleep(0.1)
            end(heard=heard)
        """)  # fmt: skip
    count, errors = told["rows"]["RECV big (handler)"]
    assert errors == {"the handler queue is full": count}
    assert told["rows"]["RECV big"][0] == 400 == count + len(told["heard"])
    assert 256 < len(told["heard"]) < 256 + 41


def test_the_code_and_reason_of_a_servers_close_are_shown_without_secrets() -> None:
    def script(peer: Peer) -> None:
        peer.connected()
        peer.send(frame(8, (1011).to_bytes(2, "big") + b"overloaded, canary-of-auth, node 1234567"))
        peer.hold()

    with Hostile(script) as server:
        told = play(server, """
            from sioload.socketio.generations import V4
            fleet.generations = type("Known", (dict,), {"get": lambda self, *_: V4})()
            sio = client(reconnection=False)
            sio.connect(auth={"token": "canary-of-auth"})
            sio.wait()
            end()
        """)  # fmt: skip
    (text,) = told["rows"]["DISCONNECT transport closed"][1]
    assert text == "closed by the server (1011 overloaded, (hidden), node (n))"


@pytest.mark.parametrize("hook", ["on_handshake", "on_connected", "on_disconnected"])
def test_hooks_that_raise(node4: serverkit.Server, hook: str) -> None:
    told = play(node4, f"""
        class User:
            def {hook}(self, *args):
                raise ZeroDivisionError("no")
        sio = client(user=User())
        first = attempt(sio.connect)
        reply = None
        if first[0] == "returned":
            reply = attempt(sio.call, "echo", 1)
            attempt(sio.call, "cut")
            gevent.sleep(0.3)
            reply = attempt(sio.call, "echo", 2)
        end(first=first, reply=reply)
    """)  # fmt: skip
    if hook == "on_handshake":
        assert (
            told["first"][0] == "ConnectError" and "on_handshake raised ZeroDivisionError" in told["first"][1]
        )
    else:
        assert told["reply"] == ["returned", 2]
        assert "ZeroDivisionError: no" in told["rows"][f"CONNECT {hook} (hook)"][1]


def test_what_a_script_gives_must_be_what_a_server_can_take(node4: serverkit.Server) -> None:
    """Its own connect fails, by name; it is no defect of ours."""
    told = play(node4, """
        class User:
            def __init__(self, change):
                self.on_handshake = change
        def header(request):
            request.headers["X-Evil"] = "a\\r\\nX: y"
        def number(request):
            request.headers["X-Number"] = 5
        def query(request):
            request.query = "a b"
        told = [attempt(client(auth_token="t").connect, auth=auth) for auth in ("text", lambda: "text", [1])]
        told += [attempt(client(user=User(change)).connect) for change in (header, number, query)]
        told += [attempt(client().connect, headers=given) for given in (lambda: 1 / 0, lambda: {"X": 5})]
        end(told=told)
    """)  # fmt: skip
    assert [name for name, _ in told["told"]] == ["ConnectError"] * 8
    says = [
        "auth must be a dict, not str", "auth must be a dict, not str", "auth must be a dict, not list",
        "'X-Evil' holds a line break", "'X-Number' must map a string to a string", "query holds a space",
        "headers raised ZeroDivisionError", "headers raised OptionError: headers: 'X' must map a string",
    ]  # fmt: skip
    assert all(text in said for text, (_, said) in zip(says, told["told"], strict=True)), told["told"]


def test_judgements_that_raise_or_block(node4: serverkit.Server) -> None:
    told = play(node4, """
        news = Handler(None, sent_at=lambda n: 1 / 0, delivery=lambda n: 1 / 0)
        sio = client(handlers={("/", "news"): news})
        sio.connect()
        ok = attempt(sio.call, "echo", 1, ok=lambda reply: 1 / 0)
        blocking = attempt(sio.call, "echo", 1, ok=lambda reply: gevent.sleep(1))
        sio.emit("echo", 1)
        where = attempt(sio.wait_for, "echo", where=lambda *args: 1 / 0, timeout=0.2)
        sio.call("subscribe", 100)
        gevent.sleep(0.1)
        sio.call("subscribe", 0)
        end(ok=ok, blocking=blocking, where=where, last=attempt(sio.call, "echo", 3))
    """)  # fmt: skip
    assert told["ok"][0] == told["blocking"][0] == "UnexpectedReply"
    assert "ZeroDivisionError" in told["ok"][1]
    assert told["where"][0] == "AckTimeout"
    assert told["last"] == ["returned", 3]
    assert told["ledger"]["acked"] == told["ledger"]["emits"] - told["ledger"]["sent"]


def test_scripts_own_timeouts_and_kills(node4: serverkit.Server) -> None:
    """Each emit has its outcome, wherever the script's patience ended."""
    told = play(node4, """
        sio = client(reconnection_delay=0.4, reconnection_delay_max=0.4, randomization_factor=0.0)
        sio.connect()
        def impatient(function, *args, **kwargs):
            with gevent.Timeout(0.05):
                return function(*args, **kwargs)
        calls = attempt(impatient, sio.call, "silent")
        reply = attempt(impatient, sio.call, "silent", reply="never")
        killed = gevent.spawn(sio.call, "silent")
        gevent.sleep(0.02)
        killed.kill()
        waits = attempt(impatient, sio.wait_for, "never")
        port = parse_url(url).port
        # No connection: emits wait for it.
        fleet.later(sio._manager.connection.drop, "transport error", "test")
        gevent.sleep(0.01)
        lost = [attempt(impatient, sio.call, "echo"), attempt(impatient, sio.emit, "echo"),
                attempt(impatient, sio.write, '42["echo"]')]
        gevent.sleep(0.6)
        bad = [attempt(sio.write, '42["\\ud800"]'), attempt(sio.emit, "x", "\\ud800"),
               attempt(sio.emit, "x", object())]
        last = attempt(sio.call, "echo", 1)
        end(calls=calls, reply=reply, waits=waits, lost=lost, bad=bad, last=last)
    """)  # fmt: skip
    assert told["calls"][0] == told["reply"][0] == told["waits"][0] == "Timeout"
    assert [name for name, _ in told["lost"]] == ["Timeout"] * 3
    assert told["bad"][0][0] == "UnicodeEncodeError"
    assert [name for name, _ in told["bad"][1:]] == ["EncodeError"] * 2
    assert told["last"] == ["returned", 1]
    assert told["ledger"]["timeout"] == 2
    assert (
        told["ledger"]["indeterminate"] >= 1
    )  # the killed user's, whose connection was lost before its ack came


def test_a_timeout_of_nothing_or_less_starves_nobody(node4: serverkit.Server) -> None:
    """Deadlines that have passed when they are set, again and again, leave the loop its turn."""
    told = play(node4, """
        sio, other = client(), client()
        sio.connect(); other.connect()
        outcomes = []
        def hasty():
            for _ in range(300):
                outcomes.append(attempt(sio.call, "silent", timeout=-1)[0])
        greenlet = gevent.spawn(hasty)
        replies = [attempt(other.call, "echo", n)[0] for n in range(20)]
        greenlet.join(5)
        end(replies=replies, outcomes=outcomes)
    """)  # fmt: skip
    assert told["replies"] == ["returned"] * 20
    assert told["outcomes"] == ["AckTimeout"] * 300


def test_leaving_while_connecting(node4: serverkit.Server) -> None:
    """`connect()` says so when someone else disconnected; what fails while a hook runs isn't lost either."""
    told = play(node4, """
        class User:
            def on_handshake(self, request):
                gevent.sleep(0.2)
        sio = client(user=User())
        gevent.spawn_later(0.05, sio.disconnect)
        left = attempt(sio.connect)
        late = attempt(client(user=User(), connect_timeout=0.1).connect)
        again = attempt(sio.connect)
        end(left=left, late=late, again=again, reply=attempt(sio.call, "echo", 1))
    """)  # fmt: skip
    assert told["left"] == ["ConnectError", "connect: disconnected before it was connected"]
    assert told["late"] == ["ConnectError", "dial: no answer in 0.1 s"] or told["late"][0] == "ConnectError"
    assert told["again"] == ["returned", None]
    assert told["reply"] == ["returned", 1]


def test_a_defect_of_ours_ends_one_connection_and_is_told(node4: serverkit.Server) -> None:
    """A callback of the hub that raises: its connection ends, its waiters wake, the others go on."""
    told = play(node4, """
        from sioload.client.incoming import Incoming
        sio, other = client(), client()
        sio.connect(); other.connect()
        def broken(*args):
            raise ZeroDivisionError("defect")
        pending = gevent.spawn(attempt, sio.call, "silent")
        gevent.sleep(0.05)
        Incoming.on_event, real = broken, Incoming.on_event
        sio.emit("echo", 1)
        gevent.sleep(0.1)
        Incoming.on_event = real
        pending.join(1)
        end(pending=pending.value, other=attempt(other.call, "echo", 2), back=attempt(sio.call, "echo", 3))
    """, internal=True)  # fmt: skip
    assert told["pending"] == ["ConnectionLost", "silent: connection lost: internal error"]
    assert told["other"] == ["returned", 2]
    assert told["back"] == ["returned", 3]
    assert told["closed"]["internal error"] == 1
    assert told["internal"] == ["ZeroDivisionError: defect"]


@pytest.mark.parametrize("where", ["WebSocket.close", "Lifecycle.on_down", "Heartbeat._check"])
def test_a_defect_while_a_connection_ends_leaves_nobody_waiting(target: serverkit.Server, where: str) -> None:
    told = play(target, f"""
        from sioload.client.lifecycle import Lifecycle
        from sioload.session.heartbeat import Heartbeat
        from sioload.net.websocket import WebSocket
        sio = client()
        sio.connect()
        pending = gevent.spawn(attempt, sio.call, "silent")
        gevent.sleep(0.05)
        broken, name = {where.split(".")[0]}, {where.split(".")[1]!r}
        real = getattr(broken, name)
        def defect(*args):
            setattr(broken, name, real)
            raise ZeroDivisionError("defect")
        setattr(broken, name, defect)
        connection = sio._manager.connection
        if name == "_check":
            fleet.later(connection._heartbeat._due, 0.0)
        else:
            fleet.later(connection.drop, "transport error", "test")
        pending.join(2)
        gevent.sleep(0.3)
        end(pending=pending.value, back=attempt(sio.call, "echo", 3))
    """, internal=True)  # fmt: skip
    assert told["pending"][0] in ("ConnectionLost", "AckTimeout")
    assert told["back"] == ["returned", 3]
