"""Connections that come back, or don't: who has gone meanwhile, and what the script is asked on the way."""

from __future__ import annotations

import threading
from typing import Any

import gevent
import gevent.event
import pytest
from faults.hostile import Asked as Request
from faults.hostile import Hostile, Peer
from framekit import frame
from scenariokit import until

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError, Refused

OPTIONS: dict[str, Any] = {"version": 4, "transports": ["websocket"], "reconnection_delay": 0.05}


def rows(sio: SocketIOClient, kind: str) -> dict[str, dict[str, int]]:
    """The failures of each row of a type, by its name."""
    return {t.name: t.errors for t in sio.fleet.recorder.totals() if t.type == kind and t.count}


def test_who_has_gone_while_an_attempt_hangs_makes_no_other() -> None:
    """The server takes connections and says nothing, as one does that is stopped or behind a full queue."""

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.connected()
        else:
            peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.fleet.patience = 0.1
        sio.connect()
        until(lambda: server.accepted == 2)
        sio.release()
        until(lambda: not sio.fleet.members)
        assert sio.lost == "given up" and server.accepted == 2
    said = "no answer before the user's time was over"
    assert rows(sio, "RECONNECT") == {"transport closed": {said: 1}}


class Asked:
    """A user with a hook for each handshake, which counts."""

    def __init__(self) -> None:
        self.handshakes = 0

    def on_handshake(self, request: Any) -> None:
        self.handshakes += 1


def serving(peer: Peer) -> None:
    """The first session is closed at once, the next ones answer."""
    peer.connected()
    if peer.number > 1:
        peer.serve(1)
        peer.hold()


def test_a_handler_may_connect_though_the_script_is_asked_something_on_the_way() -> None:
    """What is asked can't wait for the handler, which waits for the connection."""
    user, got = Asked(), []

    def again(reason: str) -> None:
        sio.connect(auth=dict)
        got.append(sio.call("x"))

    with Hostile(serving) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS | {"reconnection": False}, url=server.url, user=user)
        sio.on("disconnect", again)
        sio.connect()
        until(lambda: got)
        sio.close_quietly()
    assert got == [1] and user.handshakes == 2
    assert rows(sio, "CONNECT") == {"/": {}}


class Counting:
    """A user with both hooks that tell of its connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_connected(self) -> None:
        self.heard.append("up")

    def on_disconnected(self, reason: str) -> None:
        self.heard.append(reason)


def test_a_hook_waits_for_the_handler_that_is_at_work() -> None:
    """One call at a time, in order of arrival: on_disconnected was called beside a handler."""
    user, gate = Counting(), gevent.event.Event()

    def heard(number: int) -> None:
        gate.wait()
        user.heard.append(f"news {number}")

    def script(peer: Peer) -> None:
        peer.connected()
        if peer.number == 1:
            peer.text('42["news",1]')
            peer.text('42["news",2]')
        peer.serve(1)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url, user=user)
        sio.on("news", heard)
        sio.connect()
        assert sio.call("x") == 1
        sio.drop()
        until(lambda: sio.connected)
        assert sio.call("x") == 1 and user.heard == ["up"]
        gate.set()
        until(lambda: len(user.heard) == 5)
        sio.close_quietly()
    assert user.heard == ["up", "news 1", "news 2", "dropped", "up"]


def test_what_is_told_of_the_connection_isnt_lost_in_a_full_queue() -> None:
    """A slow handler and a flood, and then a reconnect: the hook joins its rooms again."""
    user, gate = Counting(), gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.connected()
        for _ in range(5):
            peer.text('42["news"]')
        peer.serve(1)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS | {"limits": {"handler_queue": 2}}, url=server.url, user=user)
        sio.on("news", gate.wait)
        sio.on("connect", lambda: user.heard.append("connect"))
        sio.on("disconnect", lambda reason: user.heard.append("disconnect"))
        sio.connect()
        assert sio.call("x") == 1
        sio.drop()
        until(lambda: sio.connected)
        assert sio.call("x") == 1
        gate.set()
        until(lambda: user.heard.count("up") == 2 and user.heard.count("connect") == 2)
        sio.close_quietly()
    assert user.heard.count("dropped") == user.heard.count("disconnect") == 1, user.heard
    assert sum(sum(told.values()) for told in rows(sio, "RECV").values()) > 0, "others were dropped"


def test_a_handler_that_takes_its_time_holds_up_no_connect() -> None:
    user, gate = Asked(), gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.connected()
        peer.text('42["news"]')
        peer.serve(1)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url, user=user)
        sio.on("news", gate.wait)
        sio.connect()
        assert sio.call("x") == 1
        sio.disconnect()
        sio.connect()
        assert sio.call("x") == 1 and not gate.is_set()
        gate.set()
        sio.close_quietly()
    assert user.handshakes == 2


@pytest.mark.parametrize("what", ["auth", "headers", "url"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_timeout_in_what_the_script_is_asked_fails_one_attempt(what: str, busy: bool) -> None:
    """In the queue's greenlet, or in one of its own while a handler is at work."""
    calls, gate = dict.fromkeys(("auth", "headers", "url"), 0), gevent.event.Event()

    def asked(name: str, value: Any) -> Any:
        calls[name] += 1
        if name == what and calls[name] == 2:
            with gevent.Timeout(0.01):
                gevent.sleep(5)
        return value

    def script(peer: Peer) -> None:
        if peer.number > 1:
            serving(peer)
            return
        peer.connected()
        peer.send(frame(1, b'42["news"]') * busy)

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.on("news", gate.wait)
        sio.connect(lambda: asked("url", server.url), lambda: asked("headers", {}), lambda: asked("auth", {}))
        until(lambda: calls[what] == 3 and sio.connected)
        assert sio.call("x") == 1
        gate.set()
        sio.close_quietly()
    assert rows(sio, "RECONNECT") == {"transport closed": {}}
    (told,) = rows(sio, "CONNECT").values()
    assert [n for text, n in told.items() if f"{what} raised Timeout: 0.01 seconds" in text] == [1], told


def test_a_function_that_ends_its_greenlet_is_asked_once_more_and_then_fails_the_attempt() -> None:
    """As one does that emits when its user is gone. It was asked again and again, without end."""
    calls = 0

    def auth() -> dict[str, str]:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise gevent.GreenletExit
        return {}

    with Hostile(serving) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(auth=auth)
        until(lambda: calls == 4 and sio.connected)
        assert sio.call("x") == 1
        sio.close_quietly()
    assert rows(sio, "CONNECT") == {"/": {"connect: auth raised GreenletExit": 1}}


def test_the_url_is_asked_for_when_a_user_returns_that_the_server_sent_away() -> None:
    """As before any reconnect; that it fails is a failed attempt, after which another one follows."""
    asked: list[str] = []

    def script(peer: Peer) -> None:
        request = peer.request()
        asked.append(request.target)
        peer.accept(request)
        peer.text(peer.session())
        peer.frame_in()
        peer.text('40{"sid":"s"}')
        if peer.number == 1:
            peer.text("41")
        peer.hold()

    def where() -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ValueError("nobody knows")
        return f"{server.url}/?call={calls}"

    calls = 0
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(where)
        until(lambda: sio.kicked and not sio.connected)
        sio.rejoin_patiently()
        assert sio.connected and not sio.kicked
        sio.close_quietly()
    assert [target.partition("call=")[2][:1] for target in asked] == ["1", "3"]
    assert rows(sio, "CONNECT") == {"/": {"open: url raised ValueError: nobody knows": 1}}


def test_a_greenlet_that_tries_again_takes_the_connection_that_another_made_meanwhile() -> None:
    """It asked for a second one, which took the namespaces from the first: no emit went out any more."""

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.request()
            peer.reply(503, b"restarting")
            return
        peer.connected()
        peer.serve(2)
        peer.hold()

    options = OPTIONS | {"reconnection_delay": 1.0, "randomization_factor": 0}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        patient = gevent.spawn(sio.connect, retry=True)
        until(lambda: sio.lost == "failed")
        sio.connect()
        assert sio.call("x") == 1
        patient.get()
        assert sio.connected and sio.call("x") == 1
        sio.close_quietly()
    assert server.accepted == 2


@pytest.mark.parametrize("failing", [1, 2])
def test_a_user_that_the_server_sent_away_tries_again_while_it_restarts(failing: int) -> None:
    """Each failure is a failed attempt, after which another one follows: the second one was none."""

    def script(peer: Peer) -> None:
        if 1 < peer.number < 2 + failing:
            peer.request()
            peer.reply(503, b"restarting")
            return
        peer.connected()
        if peer.number == 1:
            peer.text("41")
        else:
            peer.serve(1)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect()
        until(lambda: sio.kicked and not sio.connected)
        sio.rejoin_patiently()
        assert sio.connected and not sio.kicked and not sio.lost
        assert sio.call("x") == 1
        sio.close_quietly()
    assert server.accepted == 2 + failing
    assert rows(sio, "CONNECT") == {"/": {"open: HTTP 503: restarting": failing}}


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_a_user_that_the_server_sent_away_gives_up_when_its_attempts_are_used_up(attempts: int) -> None:
    def script(peer: Peer) -> None:
        if peer.number > 1:
            peer.request()
            peer.reply(503, b"gone")
            return
        peer.connected()
        peer.text("41")
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS | {"reconnection_attempts": attempts}, url=server.url)
        sio.connect()
        until(lambda: sio.kicked and not sio.connected)
        with pytest.raises(ConnectError):
            sio.rejoin_patiently()
    assert server.accepted == 1 + attempts


def test_who_has_gone_is_closed_with_the_event_that_answers_its_last_call() -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.connected()
        peer.frame_in()
        gone.wait(5)
        peer.text('42["answer",1]')
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.fleet.patience = 60.0
        sio.connect()
        call = gevent.spawn(sio.call, "ask", reply="answer")
        until(lambda: sio._pending)
        call.kill()
        sio.release()
        gone.set()
        until(lambda: not sio.fleet.members)
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["emits"], ledger["acked"]) == (1, 1), ledger


@pytest.mark.parametrize("kind", ["out of patience", "too large"])
def test_who_has_gone_is_closed_at_once_when_nothing_that_it_said_is_open(kind: str) -> None:
    """Its call ended before it did, without an ack, and that isn't waited for any more."""

    def script(peer: Peer) -> None:
        def post(asked: Request) -> None:
            peer.reply(413 if kind == "too large" and asked.body.startswith(b"42") else 200, b"ok")

        peer.polled(post, peer.hold)

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS | {"transports": ["polling"], "ack_timeout": 60}, url=server.url)
        sio.fleet.patience = 60.0
        sio.connect()
        if kind == "too large":
            with pytest.raises(Refused, match="413"):
                sio.call("x")
        else:
            with gevent.Timeout(0.1, False):
                sio.call("x")
        sio.release()
        until(lambda: not sio.fleet.members)


def test_who_has_gone_hears_what_became_of_its_last_emit() -> None:
    """Without an ack it is sent once its POST is answered, for which there is the time that acks have."""
    posted, gone = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        def post(asked: Request) -> None:
            if asked.body.startswith(b"42"):
                posted.set()
                gone.wait(5)
            peer.reply(200, b"ok")

        peer.polled(post, peer.hold)

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS | {"transports": ["polling"]}, url=server.url)
        sio.connect()
        sio.emit("x")
        until(posted.is_set)
        sio.release()
        assert sio.connected
        gone.set()
        until(lambda: not sio.fleet.members)
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["emits"], ledger["sent"]) == (1, 1), ledger


@pytest.mark.parametrize("name", ["/", "/chat"])
def test_who_disconnects_isnt_brought_back_to_what_the_server_closed(name: str) -> None:
    """As it is before a user's next task: be it that the session goes on, or has ended with it."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.frame_in()
        peer.text('40{"sid":"s"}')
        if name == "/chat":
            peer.frame_in()
            peer.text('40/chat,{"sid":"c"}')
        peer.text("41" if name == "/" else "41/chat,")
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(namespaces=["/", "/chat"] if name == "/chat" else ["/"])
        until(lambda: sio.kicked)
        sio.disconnect()
        assert not sio.kicked
        sio.rejoin()
        assert not sio.connected and server.accepted == 1


def test_a_namespace_is_asked_for_again_for_as_long_as_connect_said() -> None:
    """`wait_timeout` is of each attempt: the option, 20 s, was waited out."""

    def script(peer: Peer) -> None:
        peer.connected()
        peer.frame_in()
        peer.text('40/chat,{"sid":"c"}')
        peer.text("41/chat,")
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(namespaces=["/", "/chat"], wait_timeout=0.5)
        until(lambda: sio.kicked)
        sio.rejoin()
        assert sio.kicked
        sio.close_quietly()
    assert rows(sio, "CONNECT") == {"/": {}, "/chat": {"connect: no answer in 0.5 s": 1}}
