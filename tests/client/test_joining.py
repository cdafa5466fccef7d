"""Namespaces that are joined, left and closed while others are still asked for; emits that wait meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest
import serverkit
from faults.hostile import Hostile, Peer
from scenariokit import outcomes, until

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError, NotConnected

OPTIONS: dict[str, Any] = {"version": 4, "transports": ["websocket"], "reconnection_delay": 0.05}


def opened(peer: Peer) -> None:
    peer.accept()
    peer.text(peer.session())


def rows(sio: SocketIOClient, kind: str) -> list[str]:
    return sorted(f"{t.name} {t.count} {t.failures}" for t in sio.fleet.recorder.totals() if t.type == kind)


@pytest.mark.parametrize("answers", [['40{"sid":"s"}', "41"], ['40/a,{"sid":"a"}', "41/a,", '40{"sid":"s"}']])
def test_a_namespace_that_is_closed_before_all_are_joined_fails_the_attempt(answers: list[str]) -> None:
    """Be it the only one so far, or not: neither is everything joined, nor will it be."""

    def script(peer: Peer) -> None:
        opened(peer)
        for _ in range(3):
            peer.frame_in()
        for answer in answers:
            peer.text(answer)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        with pytest.raises(ConnectError, match="was closed before all were joined") as raised:
            sio.connect(namespaces=["/", "/a", "/b"])
        assert raised.value.stage == "connect" and raised.value.kind == "server"
        assert not sio.connected and not sio.kicked
    joined = sum(answer.startswith("40") for answer in answers)
    assert sum(not row.endswith(" 0") for row in rows(sio, "CONNECT")) == 3 - joined
    assert all(row.split()[1] == "1" for row in rows(sio, "CONNECT")), "each namespace counts once"
    assert rows(sio, "DISCONNECT") == ["namespace closed 1 1"]


def test_to_leave_the_namespace_that_is_waited_for_ends_the_waiting() -> None:
    def script(peer: Peer) -> None:
        opened(peer)
        peer.frame_in(), peer.frame_in()
        peer.text('40{"sid":"s"}')
        peer.serve(1)
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(namespaces=["/", "/chat"], wait=False)
        until(lambda: "/" in sio.namespaces)
        assert not sio.connected
        sio.disconnect("/chat")
        until(lambda: sio.connected)
        assert sio.call("x") == 1
        sio.close_quietly()


def test_auth_that_comes_when_its_session_has_ended_is_not_for_the_next() -> None:
    """Servers of 4.x close a session in which a namespace is asked for twice."""
    seen: list[Any] = []
    asked = threading.Event()

    def script(peer: Peer) -> None:
        opened(peer)
        if peer.number == 1:
            peer.frame_in()
            peer.text('40{"sid":"s"}')
        elif peer.number == 2:
            asked.wait(5)  # the script works at it
        else:
            while True:
                said = peer.frame_in()[1]
                seen.append(said[:2].decode() + said[2:].decode().rpartition("[")[2])
                if said.startswith(b"40"):
                    peer.text('40{"sid":"s"}')
                elif said.startswith(b"42"):
                    peer.text(f"43{said[2:].partition(b'[')[0].decode()}[1]")

    calls, answered = 0, []

    def auth() -> dict[str, int]:
        nonlocal calls
        calls += 1
        mine = calls
        if mine == 2:
            asked.set()
            until(lambda: calls == 3)  # the third session is open, and asks too
        answered.append(mine)
        return {"n": mine}

    with Hostile(script) as server, gevent.Timeout(9):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(auth=auth)
        until(lambda: len(answered) == 3 and sio.connected)
        assert sio.call("x") == 1
        sio.close_quietly()
    assert [json.loads(s[2:]) for s in seen if s.startswith("40")] == [{"n": 3}], seen


@pytest.mark.parametrize("given_up", [False, True])
def test_a_reply_that_nothing_was_sent_for_is_not_sent(given_up: bool) -> None:
    """Be it because its time is over before the connection is back, or because that is given up."""
    waits = threading.Event()

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.connected()
        elif given_up:
            waits.wait(5)
        else:
            peer.hold()

    options = OPTIONS | {"reconnection_attempts": 1 if given_up else 99}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        until(lambda: sio.down)
        call = gevent.spawn(sio.call, "ask", reply="answer", timeout=9 if given_up else 0.3)
        until(lambda: outcomes(sio))
        waits.set()
        with pytest.raises(NotConnected):
            call.get()
        sio.close_quietly()
    assert outcomes(sio) == {"emits": 1, "not_sent": 1}
    totals = sio.fleet.recorder.row("REPLY", "ask>answer").totals()
    assert (totals.count, totals.failures, totals.times.total) == (1, 1, 0), "nothing was asked, so no time"


def test_an_emit_that_waits_for_a_connect_which_fails_was_not_sent() -> None:
    waits = threading.Event()

    def script(peer: Peer) -> None:
        waits.wait(5)

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(wait=False)
        emit, ended = gevent.spawn(sio.emit, "x"), gevent.spawn(sio.wait)
        until(lambda: outcomes(sio))
        waits.set()
        with pytest.raises(NotConnected, match="not connected"):
            emit.get()
        ended.get()
    assert outcomes(sio) == {"emits": 1, "not_sent": 1}
    assert list(sio.fleet.recorder.row("EMIT", "x").totals().errors) == ["not connected"]


def test_what_kept_an_emit_from_being_sent_is_told() -> None:
    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.connected()
        else:
            peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect()
        until(lambda: sio.down)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            sio.emit("x")
        stopped = gevent.spawn(sio.emit, "x")
        gevent.sleep(0)
        stopped.kill()
        sio.close_quietly()
    errors = sio.fleet.recorder.row("EMIT", "x").totals().errors
    assert errors == {"Timeout before it was sent": 1, "the user was stopped before it was sent": 1}


def test_handlers_hear_of_their_own_namespace_alone() -> None:
    """That the server closed one, and that it was joined again, as JavaScript's sockets hear it."""
    heard: list[tuple[str, ...]] = []

    def script(peer: Peer) -> None:
        opened(peer)
        peer.frame_in(), peer.frame_in()
        for answer in ('40{"sid":"s"}', '40/chat,{"sid":"c"}', "41/chat,"):
            peer.text(answer)
        peer.frame_in()
        peer.text('40/chat,{"sid":"d"}')
        peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        for name in ("/", "/chat"):
            sio.on("connect", lambda name=name: heard.append(("connect", name)), name)
            sio.on("disconnect", lambda why, name=name: heard.append(("disconnect", name, why)), name)
        sio.connect(namespaces=["/", "/chat"])
        until(lambda: sio.kicked)
        sio.rejoin()
        until(lambda: len(heard) == 4)
        sio.close_quietly()
    joined = [("connect", "/"), ("connect", "/chat")]
    assert heard[:4] == [*joined, ("disconnect", "/chat", "namespace closed"), ("connect", "/chat")]


@pytest.mark.parametrize("session", [1, 2])
def test_who_asks_for_an_ack_gets_it_while_other_namespaces_are_asked_for(session: int) -> None:
    """In the first session, where the script's own greenlet waits for all, and in one that came back."""
    answered: list[bytes] = []

    def script(peer: Peer) -> None:
        opened(peer)
        peer.frame_in(), peer.frame_in()
        peer.text('40{"sid":"s"}')
        if peer.number == session:
            peer.text('427["who"]')
            answered.append(peer.frame_in()[1])
        peer.text('40/chat,{"sid":"c"}')
        if peer.number == session:
            peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.on("who", lambda: "me")
        sio.connect(namespaces=["/", "/chat"])
        until(lambda: server.accepted == session and sio.connected)
        sio.close_quietly()
    assert answered == [b'437["me"]']


def test_auth_that_fails_when_a_namespace_is_joined_again_harms_no_other() -> None:
    def script(peer: Peer) -> None:
        opened(peer)
        peer.frame_in(), peer.frame_in()
        for answer in ('40{"sid":"s"}', '40/chat,{"sid":"c"}', "41/chat,"):
            peer.text(answer)
        while not (said := peer.frame_in()[1]).startswith(b"42"):
            assert said.startswith(b"40/chat,")
            peer.text('40/chat,{"sid":"d"}')
        peer.text("430[1]")
        peer.hold()

    calls = 0

    def auth() -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ValueError("no token left")
        return {} if calls != 4 else "no dict"

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(auth=auth, namespaces=["/", "/chat"])
        until(lambda: sio.kicked)
        for _ in range(2):
            with pytest.raises(ConnectError):
                sio.rejoin()
            assert sio.kicked and sio.connected
        sio.rejoin()
        assert not sio.kicked and sio.call("x") == 1
        assert server.accepted == 1
        sio.close_quietly()
    errors = sio.fleet.recorder.row("CONNECT", "/chat").totals().errors
    assert errors == {
        "connect: auth raised ValueError: no token left": 1,
        "connect: auth must be a dict, not str": 1,
    }
    assert rows(sio, "DISCONNECT") == ["client 1 0", "namespace closed 1 1"]


def test_handlers_that_name_no_namespace_are_for_the_one_in_the_url_also_if_it_comes_later() -> None:
    def script(peer: Peer) -> None:
        opened(peer)
        name = peer.frame_in()[1].decode()[2:].rstrip(",")
        peer.text(f'40{name},{{"sid":"s"}}')
        peer.text(f'42{name},["news","{name}"]')
        peer.hold()

    heard: list[str] = []
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.on("connect", lambda: heard.append("connect"))
        sio.on("news", heard.append)
        sio.on("news", lambda name: heard.append(f"own of {name}"), "/game")
        for name in ("/chat", "/game", "/room"):
            sio.connect(server.url + name)
            until(lambda: heard[-1:] != ["connect"] and len(heard) % 2 == 0)
            sio.disconnect()
    assert heard == ["connect", "/chat", "connect", "own of /game", "connect", "/room"]


@pytest.mark.parametrize("version", [1, "auto"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("names", ["1.0", "1.4"])
def test_a_query_of_the_session_keeps_nobody_out_of_namespaces_before_1_5(
    servers: Callable[..., serverkit.Server], names: str, transport: str, version: int | str
) -> None:
    """It was taken for a part of their names: 1.1 to 1.4 refused them, 1.0 joined others, all empty."""
    server = servers("sio1", "--old-names", names)
    server.reset()
    options = {"version": version, "transports": [transport], "query": {"a": "1"}, "reconnection_delay": 0.05}
    sio = SocketIOClient(None, options, url=server.url)
    with gevent.Timeout(10):
        sio.connect(namespaces=["/", "/chat"])
        assert sio.call("handshake", namespace="/chat")["query"]["a"] == "1"
        sio.emit("close")
        until(lambda: server.counts()["connects"]["/chat"] == 2)  # and after a loss
        assert sio.call("echo", 1, namespace="/chat") == 1
        with pytest.raises(ConnectError, match="/private refused"):
            sio.another_client().connect(namespaces=["/private"])
        sio.disconnect()
    assert rows(sio, "CONNECT") == ["/ 2 0", "/chat 2 0", "/private 1 1"]


@pytest.mark.parametrize("kind", ["sio1", "sio2"])
def test_an_unknown_namespace_is_refused_once_with_a_query_too(
    servers: Callable[..., serverkit.Server], kind: str
) -> None:
    options = {"query": {"a": "1"}, "reconnection": False}
    sio = SocketIOClient(None, options, url=servers(kind).url)
    with gevent.Timeout(10), pytest.raises(ConnectError, match="/nosuch refused: Invalid namespace"):
        sio.connect(namespaces=["/nosuch"])
    assert rows(sio, "CONNECT") == ["/nosuch 1 1"]


def test_a_namespace_in_the_url_is_joined_beside_those_that_the_call_names(node4: serverkit.Server) -> None:
    """And in place of those of the options."""
    there = node4.url + "/chat"
    with gevent.Timeout(10):
        for options, given, joined in (({}, "/", ["/", "/chat"]), ({"namespaces": ["/"]}, None, ["/chat"])):
            sio = SocketIOClient(None, options, url=node4.url)
            sio.connect(there, namespaces=given)
            assert sorted(sio.namespaces) == joined
            sio.close_quietly()
    assert (sio.another_client().url, sio.another_client(there).url) == (sio.url, there)


def test_a_session_that_may_be_restored_is_asked_for_with_the_auth_too() -> None:
    """A middleware looks at it again where the server doesn't skip it."""
    seen: list[Any] = []

    def script(peer: Peer) -> None:
        opened(peer)
        seen.append(json.loads(peer.frame_in()[1][2:]))
        peer.text('40{"sid":"s","pid":"p"}')
        if peer.number == 1:
            peer.text('42["news","o1"]')
        else:
            peer.hold()

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, OPTIONS, url=server.url)
        sio.connect(auth={"token": "x"}, namespaces=["/"])
        until(lambda: sio.recovered)
        sio.close_quietly()
    assert seen == [{"token": "x"}, {"pid": "p", "offset": "o1", "token": "x"}]
