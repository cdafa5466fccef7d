"""A server that wants this process's memory, time or rows: each limit holds before memory is taken."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import zlib
from collections.abc import Callable
from dataclasses import asdict

import pytest
from faults.hostile import Hostile, Peer
from faults.kit import POLLING, WEBSOCKET, Driver, failures
from framekit import deflated, frame

from sioload.options import Limits

MIB = 1 << 20
OPEN = Peer.session(None).encode()  # type: ignore[arg-type]  # it asks nothing of its peer


def test_the_defaults() -> None:
    assert asdict(Limits()) == {
        "message": 8 * MIB, "payload": 16 * MIB, "attachments": 64, "nesting": 64, "headers": 64 << 10,
        "write_high_water": 64 << 10, "handler_queue": 10_000,
    }  # fmt: skip


def endless(chunk: bytes, times: int) -> Callable[[Peer], None]:
    """Sends a chunk again and again, until the client has had enough."""

    def script(peer: Peer) -> None:
        for _ in range(times):
            peer.send(chunk)

    return script


def after_open(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """The answer to the poll behind the open packet."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.reply(200, OPEN)
        while peer.request().method == "POST":
            peer.reply(200, b"ok")
        then(peer)

    return script


def on_websocket(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.connected()
        then(peer)

    return script


def whole(body: bytes, **headers: str) -> Callable[[Peer], None]:
    return lambda peer: peer.reply(200, body, **headers)


@functools.cache
def bomb(pack: Callable[[bytes], bytes]) -> bytes:
    """80 MiB, packed when they are wanted: each process that collects tests reads this file."""
    return pack(b"4" + b"x" * (80 * MIB))


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
MANY = 1_000_000  # times a small chunk: far more than any limit

POLLED = {
    "endless headers": lambda peer: (peer.send(HEAD), endless(b"X-Y: zzzzzzzz\r\n" * 100, MANY)(peer)),
    "one endless header": lambda peer: (peer.send(HEAD + b"X: "), endless(b"x" * 4096, MANY)(peer)),
    "endless trailers": lambda peer: (
        peer.send(HEAD + b"\r\n1\r\nx\r\n0\r\n"), endless(b"X-Y: zzzzzzzz\r\n" * 100, MANY)(peer)),
    "an endless chunk extension": lambda peer: (
        peer.send(HEAD + b"\r\n1\r\nx\r\n1;x="), endless(b"x" * 4096, MANY)(peer)),
    "an endless body": lambda peer: (
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n"), endless(b"x" * 65536, MANY)(peer)),
    "an endless chunked body": lambda peer: (
        peer.send(HEAD + b"\r\n"), endless(b"10000\r\n" + b"x" * 65536 + b"\r\n", MANY)(peer)),
    "endless interim answers": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, MANY),
    "a body that says it is huge": endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n", 1),
    "a gzip bomb": lambda peer: whole(bomb(gzip.compress), Content_Encoding="gzip")(peer),
    "a deflate bomb": lambda peer: whole(bomb(zlib.compress), Content_Encoding="deflate")(peer),
    "a million packets": whole(b"6\x1e" * MANY + b"6"),
    "a message above its limit": whole(b"4" + b"x" * (9 * MIB)),
}  # fmt: skip

FRAMED = {
    "a frame that says it is huge": endless(frame(2, b"", length=1 << 50) + b"x" * 100, 1),
    "an endless frame": endless(frame(2, b"x" * 60_000, length=900_000_000), MANY),
    "endless fragments": lambda peer: (
        peer.send(frame(2, b"x", fin=False)), endless(frame(0, b"x" * 10_000, fin=False), MANY)(peer)),
    "a deflate bomb nobody negotiated": lambda peer: peer.send(frame(2, bomb(deflated), rsv=4)),
}  # fmt: skip


@pytest.mark.parametrize("what", POLLED)
def test_polling_takes_no_more_than_its_limits(driver: Driver, what: str) -> None:
    before = driver.rss()
    with Hostile(after_open(POLLED[what])) as server:
        driver.open("victims", server.url, POLLING, work="idle")
        seen = driver.wait("victims", "refused", 1)
        figures = driver.judged()
    stage, reason = seen["refused"][0]
    assert stage == "open" and "more than" in reason and ("limits takes" in reason or "packets" in reason)
    # What arrived and what was made of it, each within its limit of 16 MiB.
    assert (figures["census"]["rss_kib"] - before) // 1024 < 16 + 16 + 24


@pytest.mark.parametrize("what", FRAMED)
def test_websockets_take_no_more_than_their_limits(driver: Driver, what: str) -> None:
    before = driver.rss()
    with Hostile(on_websocket(FRAMED[what])) as server:
        driver.open("victims", server.url, WEBSOCKET, work="idle")
        seen = driver.wait("victims", "lost", 1)
        figures = driver.judged()
    assert seen["lost"][0] == ("protocol error" if "nobody negotiated" in what else "limit")
    if seen["lost"][0] == "limit":
        assert all("the option limits takes: message 8 MiB" in text
                   for text in failures(figures, "DISCONNECT", "limit"))  # fmt: skip
    assert (figures["census"]["rss_kib"] - before) // 1024 < 8 + 8 + 8


SWITCHING, FORBIDDEN = b"HTTP/1.1 101 X\r\n", b"HTTP/1.1 403 X\r\n\r\n"
ANSWERED = {
    "endless headers": lambda peer: (peer.send(SWITCHING), endless(b"X: zzzz\r\n" * 100, MANY)(peer)),
    "one endless header": lambda peer: (peer.send(SWITCHING + b"X: "), endless(b"x" * 4096, MANY)(peer)),
    "an endless refusal": lambda peer: (peer.send(FORBIDDEN), endless(b"x" * 65536, MANY)(peer)),
    "endless frames before the session": lambda peer: (
        peer.accept(), endless(frame(9, b"x" * 125) * 100, MANY)(peer)),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERED)
def test_handshakes_of_websockets_take_no_more_than_their_limits(driver: Driver, what: str) -> None:
    before = driver.rss()

    def script(peer: Peer) -> None:
        if what != "endless frames before the session":
            peer.request()
        ANSWERED[what](peer)

    with Hostile(script) as server:
        driver.open("victims", server.url, {**WEBSOCKET, "connect_timeout": 1.0}, work="idle")
        seen = driver.wait("victims", "refused", 1)
        figures = driver.judged()
    assert seen["refused"][0][0] == "open"
    assert (figures["census"]["rss_kib"] - before) // 1024 < 12


def test_a_bomb_in_a_negotiated_compression(driver: Driver) -> None:
    packed = bomb(deflated)

    def script(peer: Peer) -> None:
        asked = peer.request()
        peer.accept(asked, Sec_WebSocket_Extensions="permessage-deflate")
        peer.text(peer.session())
        peer.frame_in()
        peer.send(frame(2, packed, rsv=4))
        peer.hold()

    before = driver.rss()
    with Hostile(script) as server:
        driver.open("victims", server.url, {**WEBSOCKET, "compress": True}, work="idle")
        driver.wait("victims", "refused", 1)
        figures = driver.judged()
    assert any("more than the option limits takes: message" in text for text in failures(figures, "CONNECT"))
    assert (figures["census"]["rss_kib"] - before) // 1024 < 8


def polled_pings(peer: Peer) -> None:
    """Pings by the ten thousand, while the POST with the first pongs gets no answer."""
    peer.answer_no_posts(lambda: peer.reply(200, b"\x1e".join([b"2"] * 20_000)))


def unread(asking: bytes, times: int) -> Callable[[Peer], None]:
    """Asks for answers again and again, and reads none."""

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connected()
        endless(asking * 1000, times)(peer)
        peer.over.wait(5)

    return script


@pytest.mark.parametrize(
    ("options", "script", "reason"),
    [
        (POLLING, polled_pings, "limit"),
        (WEBSOCKET, unread(frame(9, b"x" * 125), 100), None),
    ],
    ids=["polled pings", "pings of the websocket"],
)
def test_answers_that_nobody_takes_dont_pile_up(
    driver: Driver, options: dict[str, object], script: Callable[[Peer], None], reason: str | None
) -> None:
    before = driver.rss()
    with Hostile(script) as server:
        driver.open("victims", server.url, options, work="idle")
        if reason is None:
            driver.wait("victims", "ups", 1)
            driver.sleep(1.5)
            assert driver.status()["groups"]["victims"]["lost"] == []
        else:
            assert driver.wait("victims", "lost", 1)["lost"][0] == reason
        figures = driver.judged()
    assert (figures["census"]["rss_kib"] - before) // 1024 < 20


def test_large_events_before_the_namespace_is_connected(driver: Driver) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.text(peer.session())
        peer.frame_in()
        endless(frame(1, b'42["x","' + b"y" * 1_000_000 + b'"]'), 200)(peer)

    before = driver.rss()
    with Hostile(script) as server:
        driver.open("victims", server.url, WEBSOCKET, work="idle")
        seen = driver.wait("victims", "refused", 1)
        figures = driver.judged()
    assert "events before their namespace was connected" in seen["refused"][0][1]
    assert seen["refused"][0][1].endswith("payload 16777216")
    assert (figures["census"]["rss_kib"] - before) // 1024 < 16 + 24


HOSTILE_NAMES = [
    "", " ", "\x00", "\n\r\t", "<script>alert(1)</script>", "\u202egnp.exe", "a" * 100_000,
    "=cmd|' /C calc'!A0", "\ufffd",
    '"quoted"', "%s%n%d", "{0}", "../../etc/passwd",
    "connect", "disconnect", "error", "__proto__", "😀" * 500,
]  # fmt: skip


def pushing(events: list[str]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.connected()
        peer.send(b"".join(frame(1, b"42" + json.dumps([name, 1]).encode()) for name in events))
        peer.serve(1000)

    return script


def test_names_that_a_server_chose(driver: Driver) -> None:
    with Hostile(pushing(HOSTILE_NAMES)) as server:
        driver.open("victims", server.url, WEBSOCKET)
        driver.wait("victims", "done", 5)
        figures = driver.judged()
    received = [row for row in figures["rows"] if row["type"] == "RECV"]
    assert sum(row["count"] for row in received) == len(HOSTILE_NAMES)
    assert all(len(row["name"]) <= 120 for row in received)
    assert not any(c < " " for row in received for c in row["name"])
    assert figures["groups"]["victims"]["lost"] == []


def test_ten_thousand_names_fill_no_more_than_two_hundred_rows(driver: Driver) -> None:
    with Hostile(pushing([f"event-{n}" for n in range(10_000)])) as server:
        driver.open("victims", server.url, WEBSOCKET)
        driver.wait("victims", "done", 5)
        figures = driver.judged()
    received = [row for row in figures["rows"] if row["type"] == "RECV"]
    assert sum(row["count"] for row in received) == 10_000
    assert len(figures["rows"]) <= 200
    assert next(row for row in received if row["name"] == "(other)")["count"] > 9_000


def test_cookies_without_end(driver: Driver) -> None:
    """A server that sets new cookies with each answer doesn't make requests grow for ever."""
    sizes: list[int] = []

    def script(peer: Peer) -> None:
        joined = False
        for n in range(400):
            asked = peer.request()
            sizes.append(sum(len(value) for value in asked.headers.values()))
            cookies = "\r\n".join(f"Set-Cookie: c{n}x{i}={'v' * 100}" for i in range(20))
            if asked.method == "POST":
                body = b"ok"
            elif "sid=" not in asked.target:
                body = OPEN
            elif not joined:
                joined, body = True, b'40{"sid":"s"}'
            else:
                body = b"6"
            peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{cookies}\r\n\r\n".encode() + body)
        peer.hold()

    with Hostile(script) as server:
        driver.open("victims", server.url, POLLING, work="idle")
        driver.wait("victims", "ups", 1)
        driver.sleep(1.0)
        driver.judged()
    assert len(sizes) > 100
    assert max(sizes) < 20_000
