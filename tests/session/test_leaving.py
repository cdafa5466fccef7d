"""Sessions that end: what the server hears of it, and what is left of them here."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs

import gevent
import pytest
import serverkit
from faults.hostile import Gone, Hostile, Peer, frame

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError

HEAD = """
from gevent import monkey
monkey.patch_all()
import gc, json, sys
import gevent
from sioload import ConnectError, SocketIOClient
from sioload.net.fleet import Fleet

url, transports = sys.argv[1], sys.argv[2].split(",")
fleet = Fleet()

def client(**more):
    return SocketIOClient(fleet, {"version": 4, "transports": transports, **more}, url=url)
"""

#: The server ends the poll that the switch waits for up to 100 ms after it has answered the probe.
LEAVERS = """
def leave(seconds):
    sio = client()
    sio.connect()
    gevent.sleep(seconds)
    sio.disconnect()

gevent.joinall([gevent.spawn(leave, n / 100) for n in range(20)], raise_error=True)
"""

#: One number for each way to end: objects that only the collector could free, for each session.
ENDS = """
def garbage(end, times=20):
    for n in range(times + 2):
        if n == 2:  # what is made once, is made by now
            gc.collect()
            gc.disable()
        end()
    gevent.sleep(0.05)
    left = gc.collect() / times
    gc.enable()
    return left

def leaves():
    sio.connect()
    sio.call("echo", 1)
    sio.disconnect()

def is_sent_away():
    sio.connect()
    sio.emit("kick")
    sio.wait()
    sio.disconnect()

def is_refused():
    try:
        sio.connect(namespaces=["/nowhere"])
    except ConnectError:
        pass

def finds_nobody():
    try:
        nobody.connect()
    except ConnectError:
        pass

sio = client(reconnection=False)
nobody = SocketIOClient(fleet, {"transports": transports}, url="http://127.0.0.1:1")
print(json.dumps({end.__name__: garbage(end) for end in (leaves, is_sent_away, is_refused, finds_nobody)}))
"""


def run(server: serverkit.Server, script: str, transports: str) -> serverkit.Run:
    done = serverkit.run([sys.executable, "-c", HEAD + script, server.url, transports], 40)
    assert done.code == 0, done.text
    return done


def test_who_leaves_in_the_middle_of_an_upgrade_says_so(node4: serverkit.Server) -> None:
    run(node4, LEAVERS, "polling,websocket")
    until = time.monotonic() + 3
    while sum(node4.counts()["disconnects"].values()) < 20 and time.monotonic() < until:
        time.sleep(0.05)
    assert node4.counts()["reasons"]["/"] == {"client namespace disconnect": 20}


@pytest.mark.parametrize("kind", ["sio1", "sio2", "sio3", "sio4"])
def test_nothing_is_asked_of_a_session_after_its_goodbye(
    servers: Callable[..., serverkit.Server], kind: str
) -> None:
    """The close packet ends the poll that waits; another one would be a request for an unknown session."""
    server = servers(kind)
    server.reset()
    sio = SocketIOClient(None, {"version": int(kind[-1]), "transports": ["polling"]}, url=server.url)
    for _ in range(5):
        sio.connect()
        sio.call("echo", 1)
        sio.disconnect()
    asked: dict[str, list[str]] = {}
    for request in server.requests():
        for sid in parse_qs(request["url"]).get("sid", ()):
            asked.setdefault(sid, []).append(request["method"])
    assert [methods[-1] for methods in asked.values()] == ["POST"] * 5, asked


def test_a_goodbye_does_not_wait_for_polls_that_bring_nothing_nor_asks_for_many() -> None:
    """As python-engineio answers them while a probe goes on: at once, with a noop."""
    joining = threading.Event()
    posted: list[bytes] = []

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if "transport=websocket" in asked.target:
                peer.accept(asked)
                peer.hold()  # the probe has no answer
                return
            if asked.method == "POST":
                posted.append(asked.body)
                joining.set()
                peer.reply(200, b"ok")
            elif "sid=" not in asked.target:
                peer.reply(200, peer.session(upgrades=("websocket",)).encode())
            elif joining.is_set() and len(refusals) == 0:
                refusals.append(asked.target)
                peer.reply(200, b'44{"message":"no"}')
            else:
                polls.extend(refusals)
                peer.reply(200, b"6")

    refusals: list[str] = []
    polls: list[str] = []  # those after the refusal
    with Hostile(script) as server:
        sio = SocketIOClient(None, {"version": 4, "reconnection": False}, url=server.url)
        with pytest.raises(ConnectError, match="refused: no"):
            sio.connect()
        until = time.monotonic() + 5
        while b"1" not in posted and sio.fleet.members and time.monotonic() < until:
            gevent.sleep(0.01)
        sio.close_quietly()
    assert posted == [b"40", b"1"]
    assert len(polls) < 10


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
def test_what_has_ended_is_freed_at_once(servers: Callable[..., serverkit.Server], transports: str) -> None:
    left = json.loads(run(servers("sio4"), ENDS, transports).out)
    assert {end: round(objects, 1) for end, objects in left.items() if objects >= 1} == {}


def test_a_goodbye_has_its_second_though_a_heartbeat_is_due_before() -> None:
    def script(peer: Peer) -> None:
        peer.connected(pingInterval=100, pingTimeout=100)
        with contextlib.suppress(Gone):
            while True:
                peer.frame_in()
        time.sleep(0.4)  # which is busy until then
        peer.text("430[1]")
        peer.send(frame(8, b""))

    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, {"version": 4, "transports": ["websocket"]}, url=server.url)
        sio.connect()
        sio.emit("x", callback=print)
        sio.disconnect()
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["emits"], ledger["acked"]) == (1, 1), ledger
