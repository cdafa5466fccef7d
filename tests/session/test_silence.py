"""Servers that say nothing, or say late what they are."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import gevent
import pytest
from faults.hostile import SID, Gone, Hostile, Peer, frame

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError
from sioload.session import asking, diagnosis, probe


def joined(url: str, transports: list[str]) -> list[str]:
    """The requests of sessions and their figures, once one user was connected and its emit was answered."""
    options: dict[str, Any] = {"transports": transports, "reconnection": False, "connect_timeout": 9.0}
    sio = SocketIOClient(None, options, url=url)
    with gevent.Timeout(15):
        sio.connect()
        assert sio.call("x") == 1
        sio.close_quietly()
    assert not sio.fleet.probes and not sio.fleet.members
    return [f"{t.name} {t.count} {t.failures}" for t in sio.fleet.recorder.totals() if t.type == "OPEN"]


def test_a_request_without_an_answer_leads_to_the_handshake_of_0_9() -> None:
    def script(peer: Peer) -> None:
        asked = peer.request()
        if "EIO=" in asked.target:
            peer.hold()
            return
        if "/websocket/" not in asked.target:
            peer.reply(200, f"{SID}:60:60:websocket".encode())
            return
        peer.accept(asked)
        peer.text("1::")
        while not (said := peer.frame_in()[1].decode()).startswith("5:"):
            pass
        peer.text(f"6:::{said[2:].partition('+')[0]}+[1]")
        peer.hold()

    with Hostile(script) as server:
        rows = joined(server.url, ["polling", "websocket"])
    assert any(row.startswith("(probe) 1") for row in rows), rows


def test_a_websocket_that_an_old_server_lacks_behind_its_proxy_is_told_as_that() -> None:
    """Its handshake was answered, so no other is tried, in this attempt and in the next."""
    asked: list[str] = []

    def script(peer: Peer) -> None:
        while True:
            target = peer.request().target
            asked.append(target.partition("?")[0])
            if target.startswith("/socket.io/1/websocket/"):
                peer.reply(502)
            elif target.startswith("/socket.io/1/"):
                peer.reply(200, f"{SID}:60:60:websocket,xhr-polling".encode())
            else:
                peer.reply(200, b"Welcome to socket.io.")

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, {"reconnection": False}, url=server.url)
        for _ in range(2):
            with pytest.raises(ConnectError) as raised:
                sio.connect()
            assert (raised.value.stage, raised.value.reason) == ("open", "HTTP 502")
    session = ["/socket.io/1/", f"/socket.io/1/websocket/{SID}"]
    assert asked == ["/socket.io/", *session, *session]


def test_a_late_greeting_of_an_old_server_is_understood() -> None:
    asked: list[str] = []

    def script(peer: Peer) -> None:
        request = peer.request()
        asked.append(request.target)
        peer.accept(request)
        peer.text(f'0{{"sid":"{SID}","upgrades":[],"pingInterval":25000,"pingTimeout":20000}}')
        if "EIO=4" in request.target:
            peer.frame_in()  # our CONNECT, after a second in which nothing came
        peer.text("40")
        if "EIO=3" in request.target:
            peer.serve(1)
        peer.hold()

    with Hostile(script) as server:
        joined(server.url, ["websocket"])
    assert ["EIO=4" in target for target in asked] == [True, False]


def test_who_leaves_just_when_an_old_server_is_found_begins_nothing_anew() -> None:
    """The session is closed for another one, of which nothing comes then: the next failure is one again."""
    closing, left = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        if peer.number > 1:
            return
        peer.accept()
        peer.text(f'0{{"sid":"{SID}","upgrades":[],"pingInterval":25000,"pingTimeout":20000}}')
        peer.frame_in()
        peer.text("40")
        with contextlib.suppress(Gone):
            peer.frame_in()
        closing.set()
        left.wait(5)

    options: dict[str, Any] = {"transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect(wait=False)
        while not closing.is_set():
            gevent.sleep(0.01)
        sio.disconnect()
        left.set()
        with pytest.raises(ConnectError):
            sio.connect()
        assert server.accepted == 2
    assert sio.fleet.recorder.row("CONNECT", "/").totals().failures == 1


def test_who_waits_for_a_first_user_whose_request_hangs_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 5 s, here shortened: `connect_timeout` begins with one's own request."""
    assert probe.PATIENCE == 5
    monkeypatch.setattr(probe, "PATIENCE", 1.0)

    def script(peer: Peer) -> None:
        if peer.number > 1:
            peer.connected()
            peer.serve(1)
        peer.hold()

    options: dict[str, Any] = {"transports": ["websocket"], "reconnection": False, "connect_timeout": 9.0}
    with Hostile(script) as server:
        first = SocketIOClient(None, options, url=server.url)
        hanging = gevent.spawn(first.connect)
        gevent.sleep(0.1)
        second = SocketIOClient(first.fleet, options | {"connect_timeout": 0.9}, url=server.url)
        with gevent.Timeout(8):
            second.connect()
            assert second.call("x") == 1
        assert not hanging.dead and server.accepted == 2
        hanging.kill()
        first.close_quietly()
        second.close_quietly()


def wrong(url: str, seconds: float) -> str:
    """What is said of version 2, tried on websockets alone for so long."""
    options: dict[str, Any] = {"version": 2, "transports": ["websocket"], "reconnection": False}
    sio = SocketIOClient(None, options | {"connect_timeout": seconds}, url=url)
    with pytest.raises(ConnectError) as raised:
        sio.connect()
    assert not sio.fleet.diagnosing
    return str(raised.value)


def test_a_wrong_version_that_is_met_by_silence_is_named_within_5_seconds() -> None:
    """As 3.1.2 does: it takes the websocket, and says nothing."""

    def script(peer: Peer) -> None:
        asked = peer.request()
        peer.accept(asked)
        if "EIO=4" in asked.target:
            peer.text(peer.session())
        peer.hold()

    with Hostile(script) as server:
        assert "speaks Socket.IO 3.x or 4.x (Engine.IO 4): set the option version to" in wrong(server.url, 5)


def test_one_question_tells_all_users_of_a_process_that_the_version_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who wait with the first, and those who come later; its session isn't left open."""
    monkeypatch.setattr(asking, "SILENCE", 0.2)
    ended: list[int] = []

    def script(peer: Peer) -> None:
        asked = peer.request()
        peer.accept(asked)
        if "EIO=4" in asked.target:
            peer.text(peer.session())
            with contextlib.suppress(Gone):
                peer.frame_in()
            ended.append(peer.number)
        peer.hold()

    options: dict[str, Any] = {"version": 2, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(12):
        first = SocketIOClient(None, options, url=server.url)
        others = [SocketIOClient(first.fleet, options, url=server.url) for _ in range(3)]
        together = [gevent.spawn(sio.connect) for sio in (first, *others[:2])]
        for each in together:
            with pytest.raises(ConnectError, match=r"speaks Socket\.IO 3\.x or 4\.x"):
                each.get()
        with pytest.raises(ConnectError, match=r"speaks Socket\.IO 3\.x or 4\.x"):
            others[2].connect()
        while not ended:
            gevent.sleep(0.01)
        assert len(ended) == 1 and server.accepted == 5


def test_a_diagnosis_without_an_answer_leaves_the_attempt_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "SILENCE", 0.2)
    monkeypatch.setattr(diagnosis, "ANSWER", 0.3)

    def script(peer: Peer) -> None:
        asked = peer.request()
        if "EIO=3" in asked.target:
            peer.accept(asked)
        peer.hold()

    with Hostile(script) as server:
        said = wrong(server.url, 1.0)
        assert server.accepted == 2
    assert "option version" not in said and "1 s" in said


def test_what_comes_in_place_of_a_pong_is_a_sign_of_life() -> None:
    """Where clients ping, as JavaScript's: a busy server has other things to say first."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(f'0{{"sid":"{SID}","upgrades":[],"pingInterval":300,"pingTimeout":200}}')
        peer.text("40")
        while peer.frame_in()[1] != b"2":
            pass
        for _ in range(8):  # for twice as long as the pong may take
            time.sleep(0.05)
            peer.text('42["e"]')
        peer.text('42["last"]')
        peer.hold()

    options: dict[str, Any] = {"version": 2, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        sio.wait_for("last")
        sio.wait()  # silence still is what it was
    rows = [
        f"{t.type} {t.name} {t.count}"
        for t in sio.fleet.recorder.totals()
        if t.type in ("RECV", "DISCONNECT")
    ]
    assert rows == ["RECV e 8", "DISCONNECT ping timeout 1"]


@pytest.mark.parametrize("version", [2, 4])
def test_a_heartbeat_among_what_a_slow_user_has_not_taken_is_awaited_without_haste(version: int) -> None:
    """Looking for it in each turn of the loop would take all of a processor."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(f'0{{"sid":"{SID}","upgrades":[],"pingInterval":50,"pingTimeout":50}}')
        peer.text("40" if version == 2 else '40{"sid":"s"}')
        peer.send(frame(1, b'42["e"]') * 3000)
        peer.hold()

    options: dict[str, Any] = {"version": version, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options | {"read_rate": 20_000}, url=server.url)
        sio.connect()
        events, deadlines = sio.fleet.recorder.row("RECV", "e"), sio.fleet.deadlines
        set_before = deadlines._serial
        while events.totals().count < 1500:
            gevent.sleep(0.01)
        assert sio.connected and deadlines._serial - set_before < 100
        sio.wait()
    assert events.totals().count == 3000
    assert sio.fleet.recorder.row("DISCONNECT", "ping timeout").totals().count == 1


def test_a_pong_that_came_while_the_process_was_stopped_is_no_silence() -> None:
    """On polling as on websockets: timers come before sockets when it goes on."""
    pinged, stopped, answered = (threading.Event() for _ in range(3))

    def script(peer: Peer) -> None:
        polls = 0
        while True:
            asked = peer.request()
            if asked.method == "POST":
                if asked.body.endswith(b"2") and not pinged.is_set():
                    pinged.set()
                peer.reply(200, b"ok")
            elif "sid=" not in asked.target:
                opened = f'0{{"sid":"{SID}","upgrades":[],"pingInterval":100,"pingTimeout":300}}'
                peer.reply(200, f"{len(opened)}:{opened}2:40".encode())
            elif polls:
                peer.hold()
            else:
                polls += 1
                stopped.wait(5)
                peer.reply(200, b"1:3")
                answered.set()

    options: dict[str, Any] = {"version": 2, "transports": ["polling"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        while not pinged.is_set():
            gevent.sleep(0.01)
        stopped.set()
        assert answered.wait(5)
        time.sleep(0.4)  # stopped, for longer than the pong may take
        pong = sio.fleet.recorder.row("HEARTBEAT", "pong")
        while not pong.totals().count:
            assert sio.connected
            gevent.sleep(0.01)
        sio.close_quietly()


CLOSED = "closed by the peer before the session was open: refused, or the URL, its port or the option path is"


@pytest.mark.parametrize(
    ("frames", "kind", "said"),
    [
        (b"", "transport closed", CLOSED),
        (b"\x8f\x00", "protocol error", "websocket protocol error 1002 invalid opcode"),
        (frame(1, b"9"), "protocol error", "unknown Engine.IO packet type '9'"),
        (frame(1, b"0{"), "protocol error", "handshake: not JSON"),
    ],
)
@pytest.mark.parametrize("version", [4, 2, "auto"])
def test_a_websocket_that_opens_no_session_is_told_as_what_it_was(
    frames: bytes, kind: str, said: str, version: Any
) -> None:
    """With version 4, a frame that is none of RFC 6455 made the server one of 1.x or 2.x."""

    def script(peer: Peer) -> None:
        asked = peer.request()
        if "upgrade" not in asked.headers:
            peer.reply(404)
            return
        peer.accept(asked)
        peer.send(frames)
        if frames:
            peer.hold()

    options: dict[str, Any] = {"version": version, "transports": ["websocket"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(15), pytest.raises(ConnectError) as raised:
        SocketIOClient(None, options, url=server.url).connect()
    assert raised.value.kind == kind and f"open: {said}" in str(raised.value), raised.value
