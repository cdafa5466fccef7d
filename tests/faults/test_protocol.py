"""Servers that break the protocols, refuse, or answer with something else."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import serverkit
from faults.hostile import Hostile, Peer
from faults.kit import POLLING, TRANSPORTS, UPGRADE, WEBSOCKET, Driver, failures
from framekit import frame

from sioload.session.requests import MOVES

Servers = Callable[..., serverkit.Server]
OPEN = Peer.session(None)  # type: ignore[arg-type]  # it asks nothing of its peer


def polled(*bodies: bytes, then: Callable[[Peer], None] = Peer.hold) -> Callable[[Peer], None]:
    """A polling session: its first GETs get these bodies, POSTs are taken, later GETs wait."""

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if asked.method == "POST":
                peer.reply(200, b"ok")
                continue
            script.n += 1  # type: ignore[attr-defined]
            if script.n > len(bodies):  # type: ignore[attr-defined]
                then(peer)
                return
            peer.reply(200, bodies[script.n - 1])  # type: ignore[attr-defined]

    script.n = 0  # type: ignore[attr-defined]
    return script


def spoken(*frames: bytes) -> Callable[[Peer], None]:
    """A connected websocket that acks 3 emits, then sends these bytes."""

    def script(peer: Peer) -> None:
        peer.connected()
        peer.serve(3)
        for data in frames:
            peer.send(data)
        peer.hold()

    return script


BROKEN = {
    "bad UTF-8": frame(1, b'42["\xff\xfe"]'),
    "bad UTF-8 across fragments": frame(1, b'42["\xe2', fin=False) + frame(0, b'\x28\xa1"]'),
    "bad JSON": frame(1, b'42["a",}'),
    "JSON that is no event": frame(1, b"42{}"),
    "an event without a name": frame(1, b"42[]"),
    "NaN": frame(1, b'42["a",NaN]'),
    "1e999": frame(1, b'42["a",1e999]'),
    "nested JSON": frame(1, b'42["a",' + b"[" * 100_000 + b"]" * 100_000 + b"]"),
    "an unknown packet type": frame(1, b"9"),
    "an unknown Socket.IO type": frame(1, b"49"),
    "an empty packet": frame(1, b""),
    "a second open packet": frame(1, OPEN.encode()),
    "an ack without an id": frame(1, b"43[1]"),
    "a superscript as ack id": frame(1, "43²[1]".encode()),
    "a long ack id": frame(1, b"43" + b"9" * 5000 + b"[1]"),
    "a stray attachment": frame(2, b"abc"),
    "a missing attachment": frame(1, b'451-["a",{"_placeholder":true,"num":0}]') + frame(1, b'42["b"]'),
    "a placeholder out of range": frame(1, b'451-["a",{"_placeholder":true,"num":99}]') + frame(2, b"x"),
    "a placeholder below zero": frame(1, b'451-["a",{"_placeholder":true,"num":-1}]') + frame(2, b"x"),
    "a billion attachments": frame(1, b'451000000000-["a"]'),
    "a masked frame": bytes((0x81, 0x82, 1, 2, 3, 4, 5, 6)),
    "RSV1 that nobody negotiated": frame(1, b"42[]", rsv=4),
    "an unknown opcode": frame(3, b"x"),
    "a fragmented ping": frame(9, b"x", fin=False),
    "a long ping": frame(9, b"x" * 126),
    "a continuation of nothing": frame(0, b"x"),
    "text within a fragmented text": frame(1, b"4", fin=False) + frame(1, b"4"),
    "a frame over the limit": frame(2, b"", length=1 << 40),
    "a length of more than 63 bits": frame(2, b"", length=1 << 63),
    "garbage": b"\x00garbage" * 50,
}


#: What isn't taken although it may be right.
OURS = {
    "nested JSON", "a billion attachments", "a frame over the limit", "a length of more than 63 bits",
    "too many packets", "a packet over the limit", "a body over the limit", "headers over the limit",
    "many headers over the limit",
}  # fmt: skip


def kind(what: str) -> str:
    """Why a session ends that meets this."""
    return "limit" if what in OURS else "protocol error"


@pytest.mark.parametrize("what", BROKEN)
def test_a_websocket_that_breaks_the_protocol_is_left_and_dialled_again(driver: Driver, what: str) -> None:
    with Hostile(spoken(BROKEN[what])) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "ups", 2)
        figures = driver.judged()
    assert seen["lost"] == [kind(what)]
    assert failures(figures, "DISCONNECT", kind(what))


CLOSES = {
    "FIN within a frame": (frame(1, b'42["a"]')[:4], "transport closed"),
    "a close frame": (frame(8, b"\x03\xe8"), "transport closed"),
    "a close frame without a code": (frame(8, b""), "transport closed"),
    "a close frame for being too big": (frame(8, b"\x03\xf1"), "transport closed"),
    "a close packet": (frame(1, b"1"), "server"),
    "a close code that must not be sent": (frame(8, b"\x03\xed"), "protocol error"),
    "half a close code": (frame(8, b"\x03"), "protocol error"),
}


@pytest.mark.parametrize("what", CLOSES)
def test_a_websocket_that_closes(driver: Driver, what: str) -> None:
    data, reason = CLOSES[what]

    def script(peer: Peer) -> None:
        peer.connected()
        peer.serve(3)
        peer.send(data)
        peer.fin()

    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "ups", 2)
        driver.judged()
    assert seen["lost"] == [reason]


BODIES = {
    "bad UTF-8": b'42["\xff"]',
    "bad JSON": b'42["a"',
    "an unknown packet type": b"9",
    "an empty packet": b"4\x1e",
    "bad base64": b"b=A",
    "HTML": b"<html>hello</html>",
    "too many packets": b"6\x1e" * 100_001 + b"6",
    "a packet over the limit": b"4" + b"x" * (8 << 20) + b"xx",
}


@pytest.mark.parametrize("what", BODIES)
def test_a_polling_body_that_breaks_the_protocol(driver: Driver, what: str) -> None:
    with Hostile(polled(OPEN.encode(), b'40{"sid":"s"}', BODIES[what])) as server:
        driver.open("victims", server.url, POLLING, work="idle")
        seen = driver.wait("victims", "lost", 1)
        figures = driver.judged()
    assert seen["lost"] == [kind(what)]
    assert failures(figures, "DISCONNECT", kind(what))


RAW = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a body over the limit": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    "headers over the limit": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000,
    "many headers over the limit": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an unasked coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "broken gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "an unasked upgrade": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("what", RAW)
def test_an_answer_to_a_poll_that_is_no_good_http(driver: Driver, what: str) -> None:
    def last(peer: Peer) -> None:
        peer.send(RAW[what])
        peer.hold()

    with Hostile(polled(OPEN.encode(), b'40{"sid":"s"}', then=last)) as server:
        driver.open("victims", server.url, POLLING, work="idle")
        seen = driver.wait("victims", "lost", 1)
        driver.judged()
    assert seen["lost"] == [kind(what)]


def test_a_session_that_is_gone_with_its_connection_ends_for_that(driver: Driver) -> None:
    """The poll goes out again, and a POST is refused before it: what ended first was the connection."""
    again, posted, polls = threading.Event(), threading.Event(), itertools.count()
    unknown = b'{"code":1,"message":"Session ID unknown"}'

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if asked.body.startswith(b"40"):
                peer.reply(200, b"ok")
            elif asked.method == "POST":
                again.wait(5)
                peer.reply(400, unknown)
                posted.set()
            elif "sid=" not in asked.target:
                peer.reply(200, peer.session().encode())
            elif (number := next(polls)) == 0:
                peer.reply(200, b'40{"sid":"s"}')
            elif number == 1:
                peer.fin()
                return
            else:
                again.set()
                posted.wait(5)
                peer.reply(400, unknown)

    with Hostile(script) as server:
        driver.open("victims", server.url, POLLING)
        seen = driver.wait("victims", "lost", 1)
        driver.judged()
    assert seen["lost"][0] == "transport closed"


def test_an_unknown_sid_is_named_and_a_new_session_asked_for(driver: Driver) -> None:
    """The server was replaced by another that doesn't know the session."""

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if "sid=" not in asked.target:
                peer.reply(200, OPEN.encode())
            elif asked.method == "POST":
                peer.reply(200, b"ok")
            elif not script.joined:  # type: ignore[attr-defined]
                script.joined = True  # type: ignore[attr-defined]
                peer.reply(200, b'40{"sid":"s"}')
            else:
                script.joined = False  # type: ignore[attr-defined]
                peer.reply(400, b'{"code":1,"message":"Session ID unknown"}', Content_Type="application/json")

    script.joined = False  # type: ignore[attr-defined]
    with Hostile(script) as server:
        driver.open("victims", server.url, POLLING, work="idle")
        seen = driver.wait("victims", "lost", 2)
        figures = driver.judged()
    assert seen["lost"][:2] == ["session unknown"] * 2
    assert failures(figures, "DISCONNECT", "session unknown").keys() == {STICKY}


HTTP = {
    "502": (502, b"<html>Bad Gateway</html>", {}, "HTTP 502"),
    "503": (503, b"", {"Retry_After": "1"}, "HTTP 503"),
    "429": (429, b"slow down", {}, "HTTP 429: slow down"),
    "HTML": (200, b"<!doctype html><title>Shop</title>", {}, "no Socket.IO server answers here"),
    "404": (404, b"not found", {}, "no Socket.IO server at this path"),
    "a redirect to itself": (302, b"", {"Location": "/socket.io/"}, "the server redirects"),
    "an empty body": (200, b"", {}, "no Socket.IO server answers here"),
    "another generation": (200, b'97:0{"sid":"x"}', {}, "the server speaks"),
}


@pytest.mark.parametrize("what", HTTP)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_an_answer_that_is_no_session(driver: Driver, what: str, transport: str) -> None:
    status, body, headers, told = HTTP[what]

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            peer.reply(status, body, **headers)

    with Hostile(script) as server:
        driver.open("victims", server.url, TRANSPORTS[transport])
        seen = driver.wait("victims", "refused", 2)
        asked = server.accepted
        driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "open"
    if transport == "polling" or status != 200:
        assert told in reason
    assert asked <= 4 * (1 + MOVES * (status == 302))  # beyond that, nothing is asked again at once


TO_ITSELF, TO_LOGIN = {"Location": "/socket.io/"}, {"Location": "/login"}
STICKY = (
    "HTTP 400: Session ID unknown (several nodes without sticky sessions? turn these on, or test with "
    "--transports websocket)"
)
UNKNOWN = b'{"code":1,"message":"Session ID unknown"}'
LATER = {
    "502": (502, b"<html>Bad Gateway</html>", {}, "transport error", "HTTP 502"),
    "503": (503, b"", {"Retry_After": "1"}, "transport error", "HTTP 503"),
    "429": (429, b"slow down", {}, "transport error", "HTTP 429: slow down"),
    "500 that says nothing": (500, b"", {}, "transport error", "HTTP 500"),
    "a redirect to itself": (307, b"", TO_ITSELF, "transport error", "HTTP 307: the server redirects"),
    "a redirect to a login": (302, b"", TO_LOGIN, "transport error", "HTTP 302: the server redirects"),
    "an unknown session": (400, UNKNOWN, {}, "session unknown", "HTTP 400: Session ID unknown"),
}


@pytest.mark.parametrize("what", LATER)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_in_the_middle_of_a_session(driver: Driver, what: str, method: str) -> None:
    """A proxy in front of the server fails, or sends users elsewhere: named, and a new session follows."""
    status, body, headers, reason, told = LATER[what]

    def script(peer: Peer) -> None:
        joined = False
        while True:
            asked = peer.request()
            if "sid=" not in asked.target:
                peer.reply(200, OPEN.encode())
            elif asked.method == "POST":
                spoilt = method == "POST" and asked.body.startswith(b"42")
                peer.reply(
                    status if spoilt else 200, body if spoilt else b"ok", **(headers if spoilt else {})
                )
            elif not joined:
                joined = True
                peer.reply(200, b'40{"sid":"s"}')
            elif method == "GET":
                peer.reply(status, body, **headers)
            else:
                peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, POLLING, work="idle" if method == "GET" else "emit")
        seen = driver.wait("victims", "lost", 2)
        asked = server.accepted
        figures = driver.judged()
    assert set(seen["lost"]) == {reason}
    assert all(text.startswith(told) for text in failures(figures, "DISCONNECT", reason))
    assert figures["ledger"]["indeterminate"] > 0 if method == "POST" else figures["ledger"]["emits"] > 0
    assert asked < 12, "nothing is asked again at once"


def test_a_post_without_an_answer_while_polls_go_on(driver: Driver) -> None:
    """The session looks sound, so its emits wait; each of them still ends once."""

    def script(peer: Peer) -> None:
        def poll() -> None:
            time.sleep(0.05)
            peer.reply(200, b"6")

        peer.answer_no_posts(poll)

    with Hostile(script) as server:
        driver.open("victims", server.url, {**POLLING, "ack_timeout": 0.2})
        driver.wait("victims", "raised", 1)
        driver.open("talking", server.url, POLLING, work="emit")
        driver.wait("talking", "done", 3)
        figures = driver.judged()
    assert set(figures["groups"]["victims"]["raised"]) == {"AckTimeout"}
    assert figures["groups"]["victims"]["lost"] == []
    ledger = figures["ledger"]
    assert ledger["timeout"] > 0 and ledger["indeterminate"] > 0 and ledger["not_sent"] > 0


def upgrade(probe: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """A polling session that may be upgraded, and what its server does with the websocket."""
    polls = polled(
        Peer.session(None, upgrades=("websocket",)).encode(),  # type: ignore[arg-type]
        b'40{"sid":"s"}',
    )

    def script(peer: Peer) -> None:
        asked = peer.request()
        if "transport=websocket" in asked.target:
            peer.accept(asked) if probe is not refuse else peer.reply(
                400, b'{"code":3,"message":"Bad request"}'
            )
            probe(peer)
            return
        peer._rest = _again(asked) + peer._rest
        polls(peer)

    return script


def _again(asked: Any) -> bytes:
    lines = [f"{asked.method} {asked.target} HTTP/1.1"] + [f"{k}: {v}" for k, v in asked.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + asked.body


def refuse(peer: Peer) -> None:
    peer.hold()


def wrong(peer: Peer) -> None:
    assert peer.frame_in() == (1, b"2probe")
    peer.text("3wrong")
    peer.hold()


def message(peer: Peer) -> None:
    assert peer.frame_in() == (1, b"2probe")
    peer.text('42["too early"]')
    peer.hold()


def leave(peer: Peer) -> None:
    assert peer.frame_in() == (1, b"2probe")
    peer.fin()


PROBES = {
    "refused": (refuse, "HTTP 400: Bad request"),
    "answered wrongly": (wrong, "wrong answer to the probe"),
    "a message instead": (message, "wrong answer to the probe"),
    "left": (leave, "closed by the peer"),
    "hanging": (Peer.hold, "no answer to the probe in 0.5 s"),
}


@pytest.mark.parametrize("what", PROBES)
def test_an_upgrade_that_fails_leaves_the_session_on_polling(driver: Driver, what: str) -> None:
    probe, told = PROBES[what]
    with Hostile(upgrade(probe)) as server:
        driver.open("victims", server.url, {**UPGRADE, "connect_timeout": 0.5}, work="idle")
        driver.wait("victims", "ups", 1)
        driver.sleep(0.7 if what == "hanging" else 0.2)
        victims = driver.status()["groups"]["victims"]
        figures = driver.judged()
    assert (victims["lost"], victims["transports"]) == ([], {"polling": 1})
    ((said, n),) = failures(figures, "UPGRADE", "websocket").items()
    assert (said.partition(" (does a proxy")[0], n) == (told, 1)


def test_a_websocket_that_dies_after_the_upgrade(driver: Driver) -> None:
    probed = threading.Event()

    def script(peer: Peer) -> None:
        asked = peer.request()
        if "transport=websocket" in asked.target:
            peer.accept(asked)
            assert peer.frame_in() == (1, b"2probe")
            peer.text("3probe")
            probed.set()
            while peer.frame_in() != (1, b"5"):
                pass
            peer.reset()
            return
        bodies = iter([Peer.session(peer, upgrades=("websocket",)).encode(), b'40{"sid":"s"}'])
        while True:
            if asked.method == "POST":
                peer.reply(200, b"ok")
            elif (body := next(bodies, None)) is not None:
                peer.reply(200, body)
            else:
                probed.wait(5)
                time.sleep(0.02)
                peer.reply(200, b"6")  # as servers do while the probe is answered
            asked = peer.request()

    with Hostile(script) as server:
        driver.open("victims", server.url, UPGRADE, work="emit")
        seen = driver.wait("victims", "lost", 1)
        figures = driver.judged()
    assert seen["lost"][0] in ("transport error", "transport closed")
    assert figures["ledger"]["sent"] + figures["ledger"]["indeterminate"] > 0


def test_a_refused_post_tells_which_emits_it_carried(driver: Driver) -> None:
    """413: the session lives, its emits are refused."""

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if asked.method == "POST":
                peer.reply(413 if asked.body.startswith(b"42") else 200, b"")
            elif "sid=" not in asked.target:
                peer.reply(200, OPEN.encode())
            elif not script.joined:  # type: ignore[attr-defined]
                script.joined = True  # type: ignore[attr-defined]
                peer.reply(200, b'40{"sid":"s"}')
            else:
                peer.hold()

    script.joined = False  # type: ignore[attr-defined]
    with Hostile(script) as server:
        driver.open("victims", server.url, POLLING)
        driver.sleep(0.3)
        figures = driver.judged()
    victims = figures["groups"]["victims"]
    assert victims["lost"] == []
    assert victims["raised"].keys() == {"Refused"}
    assert figures["ledger"]["error"] == victims["raised"]["Refused"] or figures["ledger"]["error"] > 0


def test_events_in_large_numbers_before_the_namespace_is_connected(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.send(frame(1, b'42["early"]') * 20_000)
        peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "refused", 1)
        driver.judged()
    assert seen["refused"][0][1].endswith("the option limits takes: handler_queue 10000")


REFUSALS: dict[str, Any] = {
    "a string": '"no"', "a list": '["no",1]', "a number": "7", "nothing": "", "an object": '{"message":"no"}',
    "a long text": json.dumps("x" * 5000), "nested": '{"message":{"a":[1]}}',
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refused_namespace(driver: Driver, what: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.frame_in()
        peer.text("44" + REFUSALS[what])
        peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET)
        seen = driver.wait("victims", "refused", 1)
        figures = driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "connect" and reason.startswith("namespace / refused")
    assert len(reason) < 400
    assert failures(figures, "CONNECT", "/")


def test_handshakes_that_make_no_sense(driver: Driver) -> None:
    bad = [
        "{}", "[]", '{"sid":""}', '{"sid":true,"upgrades":[],"pingInterval":1,"pingTimeout":1}',
        OPEN[1:].replace("25000", "-1"), OPEN[1:].replace("25000", "true"), OPEN[1:].replace("25000", '"x"'),
        OPEN[1:].replace("[]", "null"), OPEN[1:].replace("1000000", "-1"), OPEN[1:].replace("1000000", '"k"'),
        OPEN[1:].replace("25000", "1e400"), "[" * 100_000,
    ]  # fmt: skip

    def script(peer: Peer) -> None:
        peer.accept()
        peer.text("0" + bad[peer.number % len(bad)])
        peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET, users=12)
        seen = driver.wait("victims", "refused", 12)
        driver.judged()
    assert {stage for stage, _ in seen["refused"]} == {"open"}
    assert all("handshake" in reason for _, reason in seen["refused"])


def test_extreme_heartbeats(driver: Driver) -> None:
    """Times that are tiny or endless end in a named reason or do nothing, and never in a busy loop."""
    for interval, timeout, lost in ((1e-300, 1e-300, True), (1e300, 1e300, False), (1, 1, True)):
        with Hostile(lambda peer, i=interval, t=timeout: _beating(peer, i, t)) as server:  # type: ignore[misc]
            driver.open("victims", server.url, WEBSOCKET, work="idle")
            driver.sleep(0.2)
            figures = driver.judged()
            victims = figures["groups"]["victims"]
            assert set(victims["lost"]) <= {"ping timeout"}
            assert bool(victims["lost"] or victims["refused"]) == lost
        driver.open("others", driver.others, WEBSOCKET, users=2)
        driver.wait("others", "done", 2)


def _beating(peer: Peer, interval: float, timeout: float) -> None:
    peer.connected(pingInterval=interval, pingTimeout=timeout)
    peer.hold()


def test_a_sid_that_tries_to_split_the_request(driver: Driver) -> None:
    """What a server chose as the session's id can't add headers or requests to ours."""
    targets: list[str] = []
    sid = "a\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n/../?x=1#é"

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            targets.append(asked.target)
            assert "x-evil" not in asked.headers
            if "sid=" in asked.target:
                peer.hold()
                return
            peer.reply(200, Peer.session(peer, sid=sid).encode())

    with Hostile(script) as server:
        driver.open("victims", server.url, {**POLLING, "connect_timeout": 0.5})
        driver.wait("victims", "refused", 1)
        driver.judged()
    assert not any("evil" in target.split("?")[0].lower() for target in targets)
    assert any("sid=a%0D%0AX-Evil" in target for target in targets)


def test_a_sid_of_0_9_that_tries_to_split_the_request(driver: Driver) -> None:
    targets: list[str] = []

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            targets.append(asked.target)
            assert "x-evil" not in asked.headers, asked
            if not asked.target.startswith("/socket.io/1/?"):
                peer.hold()
                return
            peer.reply(200, b"a b\r\nX-Evil; 1:15:25:websocket,xhr-polling")

    with Hostile(script) as server:
        for transport in ("polling", "websocket"):
            options = {**TRANSPORTS[transport], "version": 0, "connect_timeout": 0.5}
            driver.open(transport, server.url, options)
            driver.wait(transport, "refused", 1)
        driver.judged()
    assert len(targets) >= 4
    assert all(" " not in target and "\r" not in target for target in targets)
