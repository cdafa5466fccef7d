"""What a script sees of `SocketIOClient`, tried in a process of its own (Locust's monkey patch goes with it).

usage: python scenarios.py URL TRANSPORTS [compress]
Prints a line of JSON for each scenario: its name, and what went wrong (null when nothing did).
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections import namedtuple
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import locust  # patches first

import gevent  # isort: skip

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scenariokit import main, outcomes, raises, scenario, until

from sioload.client.api import SocketIOClient
from sioload.client.dispatcher import Handler
from sioload.errors import (
    AckTimeout,
    ConnectError,
    ConnectionLost,
    EncodeError,
    NotConnected,
    OptionError,
    Refused,
    UnexpectedReply,
    UsageError,
)
from sioload.net.fleet import Fleet

URL, TRANSPORTS = sys.argv[1], sys.argv[2].split(",")
GIVEN = {"transports": TRANSPORTS, "compress": "compress" in sys.argv[3:]}
PLACE = re.compile(r"[\w./]*scenarios\.py:[0-9]+")


def client(**options: Any) -> SocketIOClient:
    options = {**GIVEN, "reconnection_delay": 0.1, "ack_timeout": 3.0, **options}
    return SocketIOClient(None, options, url=URL)


def connected(*namespaces: str, **options: Any) -> SocketIOClient:
    sio = client(**options)
    sio.connect(namespaces=list(namespaces) or None)
    return sio


def row(sio: SocketIOClient, kind: str, name: str) -> tuple[int, dict[str, int]]:
    totals = sio.fleet.recorder.row(kind, name).totals()
    return totals.count, totals.errors


def first(sio: SocketIOClient, kind: str, name: str) -> dict[str, str]:
    """What is told of the first failure of each kind."""
    return sio.fleet.recorder.row(kind, name).totals().notes


@scenario
def arguments_of_calls_and_events() -> None:
    sio = connected()
    assert sio.call("echo") is None
    assert sio.call("echo", "one") == "one"
    assert sio.call("echo", ("a", 2, None)) == ("a", 2, None)
    assert sio.call("echo", [1, {"x": [True]}]) == [1, {"x": [True]}]
    assert sio.call("echo", "€😀é") == "€😀é"
    assert outcomes(sio) == {"emits": 5, "acked": 5}
    assert row(sio, "CALL", "echo") == (5, {})


@scenario
def what_is_no_name_is_never_sent() -> None:
    """Node's servers end the session of who sends it."""
    sio = connected()
    nones: list[Any] = [None, True, b"echo", ["echo"], {"a": 1}]
    for none in nones:
        for use in (sio.emit, sio.call, sio.wait_for, lambda none: sio.on(none, print)):
            raises((UsageError, TypeError), partial(use, none))  # TypeError: of what is compiled
    for none in nones[1:]:
        raises((UsageError, TypeError), partial(sio.call, "echo", reply=none))
    assert outcomes(sio) == {}
    assert sio.call("echo", 1) == 1


@scenario
def a_named_tuple_is_several_arguments_too() -> None:
    """As for python-socketio's client; inside of an argument it is a list."""
    Move = namedtuple("Move", "x y")
    sio = connected()
    for move in (Move(1, 2), Move(1, b"two")):
        assert sio.call("echo", move) == tuple(move)
        assert sio.call("echo", [move]) == [list(move)]
        with sio.expect("echo") as got:
            sio.emit("echo", move)
        assert got.args == tuple(move)


@scenario
def binary_anywhere_in_the_data() -> None:
    sio = connected()
    blob = bytes(range(256))
    assert sio.call("echo", {"deep": [{"blob": blob}], "second": b"\x00"}) == {
        "deep": [{"blob": blob}],
        "second": b"\x00",
    }


@scenario
def a_callback_gets_the_arguments_of_the_ack() -> None:
    sio = connected()
    got: list[Any] = []
    sio.emit("echo", ("x", 2), callback=lambda *args: got.append(args))
    until(lambda: got)
    assert got == [("x", 2)]
    assert row(sio, "CALL", "echo") == (1, {})


@scenario
def emits_without_ack_carry_no_time() -> None:
    sio = connected()
    with sio.expect("echo") as expected:
        sio.emit("echo", "back")
    assert expected.args == "back"
    until(lambda: outcomes(sio) == {"emits": 1, "sent": 1})
    totals = sio.fleet.recorder.row("EMIT", "echo").totals()
    assert (totals.count, totals.times.total) == (1, 0)


@scenario
def send_is_the_event_message() -> None:
    sio = connected()
    got: list[Any] = []
    sio.send({"text": "hi"}, callback=got.append)
    until(lambda: got)
    assert row(sio, "CALL", "message") == (1, {})
    sio.send("hi", name="greeting")  # as Locust's own client takes it
    sio.send("hi", None, got.append, "greeting")
    until(lambda: len(got) == 2)
    assert row(sio, "EMIT", "greeting") == row(sio, "CALL", "greeting") == (1, {})
    assert ("EMIT", "message") not in sio.fleet.recorder.rows


@scenario
def name_replaces_the_event_in_the_row() -> None:
    sio = connected()
    sio.call("echo", 1, name="ping the server")
    assert row(sio, "CALL", "ping the server") == (1, {})
    assert ("CALL", "echo") not in sio.fleet.recorder.rows


@scenario
def an_answer_by_event_is_one_row() -> None:
    sio = connected()
    assert sio.call("echo", "joined", reply="echo") == "joined"
    assert row(sio, "REPLY", "echo>echo") == (1, {})
    assert not {("EMIT", "echo"), ("RECV", "echo")} & set(sio.fleet.recorder.rows)
    raises(AckTimeout, lambda: sio.call("echo", "x", reply="echo", where=lambda v: v == "y", timeout=0.3))
    assert outcomes(sio) == {"emits": 2, "acked": 1, "timeout": 1}


@scenario
def ok_judges_the_answer() -> None:
    sio = connected()
    assert sio.call("echo", 5, ok=lambda value: value == 5) == 5
    raises(UnexpectedReply, lambda: sio.call("echo", 5, ok=lambda value: value == 6), "returned false")
    raises(UnexpectedReply, lambda: sio.call("echo", 5, ok=lambda value: value["x"]), "TypeError")
    count, errors = row(sio, "CALL", "echo")
    assert count == 3
    assert sum(errors.values()) == 2
    assert outcomes(sio) == {"emits": 3, "acked": 3}


@scenario
def waits_for_events_that_nobody_asked_for() -> None:
    sio = connected()
    gevent.spawn_later(0.1, sio.emit, "echo", ("a", "b"))
    assert sio.wait_for("echo", "/", lambda first, _: first == "a", 3) == ("a", "b")
    raises(AckTimeout, lambda: sio.wait_for("never", timeout=0.1))
    assert row(sio, "WAIT", "echo") == (1, {})
    assert row(sio, "WAIT", "never")[0] == 1


@scenario
def an_event_that_came_while_the_block_ran_counts() -> None:
    sio = connected()
    with sio.expect("echo", where=lambda n: n == 2, timeout=2) as expected:
        sio.emit("echo", 1)
        sio.emit("echo", 2)
        gevent.sleep(0.3)
    assert expected.args == 2


@scenario
def handlers_run_in_order_and_may_call() -> None:
    sio = connected()
    order: list[Any] = []

    def slow(n: int) -> None:
        gevent.sleep(0.02 if n % 2 else 0)
        order.append(sio.call("echo", n))

    sio.on("back", slow)
    sio.on("echo", slow)
    for n in range(6):
        sio.emit("echo", n)
    until(lambda: len(order) == 6)
    assert order == list(range(6))


@scenario
def a_refused_answer_is_shown_once_without_what_is_secret() -> None:
    sio = client(auth={"token": "canary-of-auth"})
    sio.connect()
    answer = {"error": "no such room", "you said": "canary-of-auth", "more": "x" * 1000, "blob": b"123"}
    for n in range(3):
        raises(
            UnexpectedReply, lambda n=n: sio.call("echo", {**answer, "n": n}, ok=lambda reply: "id" in reply)
        )
    raises(UnexpectedReply, lambda: sio.call("echo", 1, ok=lambda reply: reply["id"]), "TypeError")
    assert sum(row(sio, "CALL", "echo")[1].values()) == 4
    shown, raised = first(sio, "CALL", "echo").values()
    assert '{"error": "no such room", "you said": "(hidden)", "more": "xxx' in shown, shown
    assert len(shown) < 300 and PLACE.match(shown) and PLACE.match(raised) and raised.endswith(", reply 1")


@scenario
def stamps_that_are_no_seconds_of_now_are_failures_with_the_remedy() -> None:
    stamps = {"milliseconds": time.time() * 1000, "zero": 0, "text": "now", "ahead": time.time() + 90}
    news = Handler(None, sent_at=lambda name, stamp: stamp)
    sio = SocketIOClient(None, GIVEN, url=URL, handlers={("/", "echo"): news})
    sio.connect()
    for stamp in stamps.items():
        sio.emit("echo", stamp)
    sio.emit("echo", ("right", time.time()))
    until(lambda: row(sio, "PUSH", "echo")[0] == 5)
    errors = row(sio, "PUSH", "echo")[1]
    assert {text.partition(":")[0]: n for text, n in errors.items()} == {
        "the stamp is more than a minute ahead": 2,
        "the stamp is more than a day back": 1,
        "sent_at raised TypeError": 1,
    }
    (raised,) = (text for text in errors if "TypeError" in text)
    assert "float" in raised and "str" in raised, "in the words of Python, or of compiled code"
    assert sum("Date.now() / 1000" in text for text in errors) == 2
    given = first(sio, "PUSH", "echo")
    assert all(PLACE.match(told) for told in given.values()) and '["zero", 0]' in str(given)
    times = sio.fleet.recorder.row("PUSH", "echo").totals().times
    assert times.total == 1 and times.max < 5


@scenario
def a_raising_handler_callback_or_predicate_is_a_failure_row() -> None:
    sio = connected()
    sio.on("echo", lambda n: 1 / n)
    sio.emit("echo", 0)
    sio.emit("noargs", callback=lambda *args: [][1], name="named")
    until(lambda: row(sio, "RECV", "named (callback)")[0] and row(sio, "RECV", "echo (handler)")[0])
    assert "ZeroDivisionError" in str(row(sio, "RECV", "echo (handler)")[1])
    assert "IndexError" in str(row(sio, "RECV", "named (callback)")[1])
    calls = [key for key in sio.fleet.recorder.rows if key[0] == "CALL"]
    assert calls == [("CALL", "named")] and row(sio, "CALL", "named") == (1, {})
    for name in ("named (callback)", "echo (handler)"):
        (place,) = first(sio, "RECV", name).values()
        assert PLACE.fullmatch(place), place
    assert sio.call("echo", "still here") == "still here"
    assert row(sio, "RECV", "echo")[0] == 1


@scenario
def what_is_raised_without_a_message_is_told_by_its_kind() -> None:
    sio = connected()

    def heard(n: int) -> None:
        assert n
        raise locust.exception.StopUser

    sio.on("echo", heard)
    sio.emit("echo", 0)
    sio.emit("echo", 1)
    until(lambda: row(sio, "RECV", "echo (handler)")[0] == 2)
    assert row(sio, "RECV", "echo (handler)")[1] == {
        "AssertionError": 1,
        "StopUser is for tasks: here self.stop() ends the user": 1,
    }


@scenario
def a_handler_that_fails_while_it_waits_is_told_with_its_own_place() -> None:
    """Not with that of the library that it waits in, which is compiled and names its files otherwise."""
    sio = connected()

    def heard(_: int) -> None:
        sio.call("echo", 1, ok=lambda _: False)

    sio.on("echo", heard)
    sio.emit("echo", 0)
    until(lambda: row(sio, "RECV", "echo (handler)")[0])
    (place,) = first(sio, "RECV", "echo (handler)").values()
    assert place.endswith(f"scenarios.py:{heard.__code__.co_firstlineno + 1}"), place


@scenario
def catch_all_handlers_get_the_name() -> None:
    sio = connected()
    got: list[Any] = []
    sio.on("*", lambda event, *args: got.append((event, args)))
    sio.emit("echo", ("a", "b"))
    sio.emit("echo")
    until(lambda: len(got) == 2)
    assert got == [("echo", ("a", "b")), ("echo", ())]


@scenario
def a_handler_that_wants_the_event_gets_it() -> None:
    sio = connected()
    got: list[Any] = []

    def handler(event: str, data: str) -> None:
        got.append((event, data))

    sio.on("echo", handler)
    sio.emit("echo", "x")
    until(lambda: got)
    assert got == [("echo", "x")]


@scenario
def the_server_may_ask_for_an_ack() -> None:
    sio = connected()
    sio.on("question", lambda *args: ("an answer", 42))
    with sio.expect("answered") as expected:
        sio.emit("ask", "what?")
    assert "an answer" in str(expected.args), expected.args
    quiet = connected()
    quiet.emit("ask", "anyone?")
    until(lambda: row(quiet, "RECV", "question (ack)")[0])
    assert "no handler" in str(row(quiet, "RECV", "question (ack)")[1])


@scenario
def several_namespaces_without_the_root() -> None:
    sio = connected("/chat")
    assert sio.call("echo", "c", namespace="/chat") == "c"
    assert row(sio, "CALL", "/chat echo") == (1, {})
    raises(NotConnected, lambda: sio.call("echo", "r"), "was not joined")
    both = connected("/", "/chat")
    assert (both.call("echo", 1), both.call("echo", 2, namespace="/chat")) == (1, 2)
    assert both.get_sid() != both.get_sid("/chat")
    both.disconnect("/chat")
    raises(NotConnected, lambda: both.call("echo", 1, namespace="/chat"))
    assert both.call("echo", "root stays") == "root stays"


@scenario
def a_refused_namespace_raises_with_the_servers_words() -> None:
    sio = client()
    error = raises(ConnectError, lambda: sio.connect(namespaces=["/private"], auth={"token": "wrong"}))
    assert error.stage == "connect"
    assert error.data == {"message": "not authorized", "data": {"code": 401}}
    count, errors = row(sio, "CONNECT", "/private")
    assert (count, errors) == (1, {"refused: not authorized": 1})
    sio.connect(namespaces=["/private"], auth=lambda: {"token": "secret"})
    assert sio.call("echo", 1, namespace="/private") == 1


@scenario
def the_server_closes_a_namespace() -> None:
    sio = connected()
    sio.emit("kick")
    until(lambda: sio.kicked)
    raises(NotConnected, lambda: sio.call("echo", 1))
    sio.rejoin_patiently()
    assert sio.call("echo", "back") == "back"
    assert row(sio, "DISCONNECT", "namespace closed")[0] == 1
    until(lambda: sio.fleet.recorder.connections.closed == {"server": 1})
    assert row(sio, "DISCONNECT", "client")[0] == 0


@scenario
def a_lost_connection_comes_back() -> None:
    sio = connected()
    ids: list[Any] = [sio.sid]
    seen: list[str] = []
    sio.on("disconnect", lambda reason: seen.append(reason))
    sio.emit("close")
    until(lambda: sio.connected and sio.sid != ids[0])
    assert sio.call("echo", "again") == "again"
    assert (
        sum(row(sio, "RECONNECT", reason)[0] for reason in ("transport closed", "server", "transport error"))
        == 1
    )
    assert len(seen) == 1


@scenario
def pending_emits_end_when_the_connection_is_lost() -> None:
    sio = connected()
    job = gevent.spawn(lambda: raises(ConnectionLost, lambda: sio.call("delay", 5)))
    gevent.sleep(0.2)
    sio.emit("close")
    job.get(timeout=4)
    # On polling, the emit that asked the server to close may be cut off with its POST.
    until(lambda: outcomes(sio).get("indeterminate", 0) >= 1 and "open" not in outcomes(sio))


@scenario
def timeouts_and_late_acks() -> None:
    sio = connected()
    raises(AckTimeout, lambda: sio.call("delay", 0.5, timeout=0.1))
    try:
        with gevent.Timeout(0.1):
            sio.call("delay", 0.5)
    except gevent.Timeout:
        pass
    until(lambda: outcomes(sio).get("late_acks") == 2)
    assert outcomes(sio) == {"emits": 2, "timeout": 2, "late_acks": 2}
    totals = sio.fleet.recorder.row("CALL", "delay").totals()
    assert totals.times.min >= 0.09, "a timeout counts with the time that passed"


@scenario
def what_cannot_be_sent_is_refused_at_once() -> None:
    sio = connected()
    raises(EncodeError, lambda: sio.emit("echo", {"when": {1, 2}}), "data[0].when", "set")
    assert outcomes(sio) == {"emits": 1, "not_sent": 1}
    assert sio.call("echo", "fine") == "fine"


@scenario
def a_message_above_the_servers_limit_is_an_error_and_the_user_goes_on() -> None:
    sio = connected()
    # Servers of 4.x tell their limit beforehand, those of 3.x refuse the body or close the connection.
    raises((Refused, ConnectionLost), lambda: sio.call("echo", "x" * 2_000_000))
    assert sio.call("echo", "fine") == "fine"
    assert outcomes(sio)["acked"] == 1


@scenario
def a_script_that_is_refused_over_and_over_holds_up_nobody() -> None:
    sio, turns = connected(), 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    beside = gevent.spawn(other)
    for _ in range(50):
        raises(EncodeError, lambda: sio.emit("echo", {1, 2}))
        raises(EncodeError, lambda: sio.call("echo", {1, 2}))
        raises(NotConnected, lambda: sio.emit("echo", 1, "/unjoined"))
    beside.kill()
    assert turns >= 150, turns


@scenario
def raw_packets() -> None:
    sio = connected()
    with sio.expect("echo") as expected:
        sio.write('42["echo","by hand"]')
    assert expected.args == "by hand"
    until(lambda: outcomes(sio) == {"emits": 1, "sent": 1})
    assert row(sio, "EMIT", "(raw)") == (1, {})


@scenario
def a_burst_arrives_whole_and_in_order() -> None:
    sio = connected()
    got: list[int] = []
    sio.on("burst", got.append)
    sio.emit("burst", 500)
    until(lambda: len(got) == 500)
    assert got == list(range(500))
    assert row(sio, "RECV", "burst") == (500, {})


@scenario
def what_is_broadcast_counts_for_everyone_and_reaches_those_who_handle_it() -> None:
    fleet, measuring = Fleet(), {("/", "broadcast"): Handler(None, sent_at=lambda message: message["sent"])}
    options = GIVEN
    crowd = [SocketIOClient(fleet, options, url=URL, handlers=measuring) for _ in range(4)]
    keen, waiting = (SocketIOClient(fleet, options, url=URL, handlers=measuring) for _ in range(2))
    got: list[Any] = []
    keen.on("broadcast", lambda message: got.append((message.pop("n"), message.pop("sent"), message)))
    for sio in (*crowd, keen, waiting):
        sio.connect()
    for n in range(1, 4):
        with waiting.expect("broadcast", timeout=3) as expected:
            crowd[0].emit("broadcast", {"n": n, "sent": 1e9})
        assert expected.args == {"n": n, "sent": 1e9}
    until(lambda: len(got) == 3)
    assert got == [(n, 1e9, {}) for n in (1, 2, 3)]
    until(lambda: row(crowd[0], "PUSH", "broadcast")[0] == 15)  # the one who waits measures too
    assert row(keen, "RECV", "broadcast")[0] == 3
    # Those for whom broadcasts were only counted so far begin to wait for them, to handle them, and leave.
    for n in range(4, 6):
        crowd[0].emit("broadcast", {"n": n, "sent": 1e9})
    until(lambda: row(crowd[0], "PUSH", "broadcast")[0] == 25)
    crowd[1].on("broadcast", lambda message: got.append(message["n"]))
    with crowd[2].expect("broadcast", timeout=3) as expected:
        crowd[0].emit("broadcast", {"n": 6, "sent": 1e9})
    assert expected.args == {"n": 6, "sent": 1e9}
    until(lambda: 6 in got)
    crowd[3].disconnect()
    crowd[0].emit("broadcast", {"n": 7, "sent": 1e9})
    until(lambda: 7 in got)
    until(lambda: row(crowd[0], "PUSH", "broadcast")[0] == 32)


@scenario
def the_handlers_of_all_receivers_of_a_broadcast_are_called_each_with_arguments_of_its_own() -> None:
    gate = gevent.event.Event()

    def hear(user: SimpleNamespace, event: str, message: dict[str, Any]) -> None:
        n = message.pop("n")
        user.heard.append((event, n, message.pop("deep").pop(), message))
        if n == 3:
            raise ValueError("three")
        if n == 4:
            gate.wait()

    fleet = Fleet()
    of_class = {("/", "broadcast"): Handler(hear, sent_at=lambda message: message["sent"], bound=True)}
    options = {**GIVEN, "limits": {"handler_queue": 3}}
    users = [SimpleNamespace(heard=[]) for _ in range(4)]
    crowd = [SocketIOClient(fleet, options, user=user, url=URL, handlers=of_class) for user in users]
    for sio in crowd:
        sio.connect()

    def say(*numbers: int) -> None:
        for n in numbers:
            crowd[0].emit("broadcast", {"n": n, "deep": [n], "sent": 1e9})

    def heard(*numbers: int) -> None:
        wanted = [("broadcast", n, n, {"sent": 1e9}) for n in numbers]
        until(lambda: all(user.heard == wanted for user in users))

    for n in range(1, 5):
        say(n)
        heard(*range(1, n + 1))
    say(5, 6, 7, 8)  # three of them wait
    until(lambda: row(crowd[0], "PUSH", "broadcast")[0] == 32)
    gate.set()
    heard(1, 2, 3, 4, 5, 6, 7)
    failed = {"ValueError: three": 4, "the handler queue is full": 4}
    assert row(crowd[0], "RECV", "broadcast (handler)")[1] == failed


@scenario
def a_full_handler_queue_drops_calls_and_never_stops_reading() -> None:
    sio = connected(limits={"handler_queue": 10})
    gate = gevent.event.Event()
    sio.on("burst", lambda n: gate.wait())
    sio.emit("burst", 100)
    until(lambda: row(sio, "RECV", "burst")[0] == 100)
    assert sio.call("echo", 1) == 1
    gate.set()
    count, errors = row(sio, "RECV", "burst (handler)")
    assert 85 <= count <= 90, count
    assert list(errors) == ["the handler queue is full"]


@scenario
def bad_usage_is_refused_before_anything_is_sent() -> None:
    raises(OptionError, lambda: client(transprts=["polling"]), "transprts", "transports")
    raises(OptionError, lambda: client(version=5), "version")
    raises(OptionError, lambda: client().connect("ftp://127.0.0.1"), "http://")
    raises(UsageError, lambda: client().connect(namespaces=["chat"]), "'/'")
    raises(UsageError, lambda: client().connect(namespaces=[1]), "namespace 1 must begin with '/'")
    raises(NotConnected, lambda: client().emit("echo", 1), "not connected")
    sio = connected()
    raises(ConnectError, lambda: sio.connect(), "already connected")
    sio.drop()
    raises(ConnectError, lambda: sio.connect(), "already reconnecting")


@scenario
def what_cant_begin_is_a_failure_of_its_row() -> None:
    """A task that ends by it says that the failures table counts it."""
    sio = connected()
    raises(ConnectError, lambda: sio.connect(), "already connected")
    raises(ConnectError, lambda: sio.connect(namespaces=["/", "/chat"]), "already connected")
    assert row(sio, "CONNECT", "/") == (3, {"connect: already connected": 2})
    assert row(sio, "CONNECT", "/chat") == (1, {"connect: already connected": 1})
    assert sio.call("echo", 1) == 1
    alone = client()
    raises(NotConnected, lambda: alone.schedule("echo", rate=5), "call connect() first")
    assert row(alone, "CALL", "echo") == (1, {"not connected: call connect() first": 1})
    assert outcomes(alone) == {"emits": 1, "not_sent": 1}


@scenario
def an_empty_name_of_a_namespace_is_none() -> None:
    """As with python-socketio's client; servers end the session of who sends it."""
    sio = connected()
    assert sio.call("echo", 1, namespace="") == 1
    assert sio.call("push", ("pushed", 2), namespace="", reply="pushed") == 2
    assert outcomes(sio) == {"emits": 2, "acked": 2}
    assert row(sio, "CALL", "echo") == (1, {})


@scenario
def disconnect_and_connect_again() -> None:
    sio = connected()
    waiting = gevent.spawn(sio.wait)
    sio.disconnect()
    waiting.get(timeout=2)
    assert not sio.connected
    assert sio.sid is None
    sio.connect()
    assert sio.call("echo", 1) == 1
    sio.disconnect()
    sio.disconnect()
    assert sio.fleet.recorder.connections.encode()["closed"] == {"client": 2}
    assert len(sio.fleet.deadlines) == 0, "no deadline outlives its connection"
    assert not sio.fleet.members


@scenario
def who_disconnects_tries_no_more() -> None:
    nobody = "http://127.0.0.1:1"
    sio = client(reconnection_delay=60, reconnection_delay_max=60)
    trying = gevent.spawn(sio.connect, nobody, retry=True)
    until(lambda: row(sio, "CONNECT", "/")[0])
    sio.disconnect()
    trying.join(3)
    assert isinstance(trying.exception, ConnectError)
    assert str(trying.exception) == "connect: disconnected before it was connected"
    assert row(sio, "CONNECT", "/")[0] == 1, "one attempt was made"
    sio.connect(retry=True)
    assert sio.call("echo", 1) == 1
    sio.disconnect()


@scenario
def a_drop_is_a_loss_of_its_own_kind_and_the_server_hears_of_it() -> None:
    sio = connected()
    sid, told = sio.sid, []
    sio.on("disconnect", told.append)
    before = left()
    sio.drop()
    assert not sio.connected and not sio.fleet.orphans
    assert sio.call("echo", 1) == 1, "it waits for the way back"
    assert sio.sid != sid and told == ["dropped"]
    rows = {(t.type, t.name): t for t in sio.fleet.recorder.totals()}
    assert rows["DISCONNECT", "dropped"].failures == 0 and rows["RECONNECT", "dropped"].count == 1
    assert left() > before
    sio.disconnect()
    sio.drop()
    assert not sio.connected, "without a connection nothing happens"


@scenario
def a_silent_drop_leaves_the_server_in_the_belief_that_the_client_is_there() -> None:
    sio = connected(reconnection=False)
    asked = gevent.spawn(sio.call, "silent", timeout=5)
    while str(sio.transport) != TRANSPORTS[-1]:
        gevent.sleep(0.01)
    gevent.sleep(0.1)
    before = left()
    sio.drop(silent=True)
    assert sio.fleet.orphans, "its sockets are open"
    assert not any(each.told for each in sio.fleet.orphans._left), "none of a drill's"
    asked.join(1)
    assert isinstance(asked.exception, ConnectionLost)
    assert outcomes(sio)["indeterminate"] == 1
    gevent.sleep(0.5)
    assert left() == before
    sio.fleet.drain(0.1)
    assert not sio.fleet.orphans
    until = time.monotonic() + 3
    while left() == before and time.monotonic() < until:
        gevent.sleep(0.05)
    assert left() > before, "closed at the end of the run"


def left() -> int:
    """How many clients have left the root, as the server knows it."""
    with urllib.request.urlopen(URL + "/counts") as answer:
        return int(json.load(answer)["disconnects"]["/"])


if __name__ == "__main__":
    main()
