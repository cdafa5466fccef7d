"""Requests that meet the end of their connection: a GET goes out again, a POST that was sent never does."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import gevent
import pytest
import serverkit
from faults.hostile import Asked, Gone, Hostile, Peer

from sioload.client.api import SocketIOClient
from sioload.net.patience import UNKNOWN

CLIENT = """
import gevent.monkey
gevent.monkey.patch_all()
import json, sys
from sioload import EmitError, SocketIOClient

options = {"version": 4, "transports": ["polling"], "reconnection": False}
sio = SocketIOClient(options=options, url=sys.argv[1])
sio.connect()
said = [sio.call("answered", 1, timeout=5)]
try:
    sio.call("eaten", 2, timeout=5)
except EmitError as error:
    said.append(type(error).__name__)
print(json.dumps([said, sio.fleet.recorder.ledger.encode()]))
"""


def test_a_get_goes_out_again_and_a_post_does_not() -> None:
    joined, posted = threading.Event(), threading.Event()
    posts: list[bytes] = []
    polls: list[str] = []

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            if asked.method == "POST":
                posts.append(asked.body)
                if b"eaten" in asked.body:
                    return  # read, and the connection ends without an answer
                peer.reply(200, b"ok")
                (posted if b"answered" in asked.body else joined).set()
            elif "sid=" not in asked.target:
                peer.reply(200, peer.session().encode())
            else:
                polls.append(asked.target)
                if len(polls) == 1:
                    joined.wait(5)
                    peer.reply(200, b'40{"sid":"s"}')
                elif len(polls) == 2:
                    return  # as a proxy ends an idle connection, just when the poll is on its way
                elif len(polls) == 3:
                    posted.wait(5)
                    peer.reply(200, b"430[7]")
                else:
                    peer.hold()

    with Hostile(script) as server:
        run = serverkit.run([sys.executable, "-c", CLIENT, server.url], 30)
    assert run.code == 0, run.text
    said, ledger = json.loads(run.out)
    assert said == [7, "ConnectionLost"], run.text
    assert len(polls) >= 3
    assert sum(b"eaten" in body for body in posts) == sum(b"answered" in body for body in posts) == 1
    assert (ledger["acked"], ledger["indeterminate"], ledger["emits"]) == (1, 1, 2), run.text


@pytest.mark.parametrize("restarted", [False, True])
def test_a_server_that_has_ended_is_no_impatient_one(restarted: bool) -> None:
    """A poll that meets the end of its connection tells how long that was kept, unless all ended with it."""

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request()
            sid = asked.target.partition("sid=")[2]
            if asked.method == "POST":
                peer.reply(200, b"ok")
            elif not sid:
                opened.append(f"s{len(opened) + 1}")
                peer.reply(200, peer.session(sid=opened[-1]).encode())
            elif sid not in polled:
                polled[sid] = 1
                peer.reply(200, b'40{"sid":"s"}')
            else:
                polled[sid] += 1
                if sid == "s1" and polled[sid] == 2:
                    return  # just when the poll is on its way
                if sid == "s1" and restarted:
                    peer.reply(400, b'{"code":1,"message":"Session ID unknown"}')
                elif sid == "s1" and polled[sid] == 3:
                    peer.reply(200, b"6")
                else:
                    waited.set()
                    peer.hold()

    opened: list[str] = []
    polled: dict[str, int] = {}
    waited = threading.Event()
    options: dict[str, Any] = {"version": 4, "transports": ["polling"], "reconnection_delay": 0.05}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        while not waited.is_set() or not sio.connected:
            gevent.sleep(0.01)
        (patience,) = sio.fleet.idling.values()
        sio.close_quietly()
    assert len(opened) == 1 + restarted
    assert patience.seconds == (UNKNOWN if restarted else 0.0)


def test_an_emit_that_ends_with_its_session_says_so() -> None:
    """One is on its way then, and one waits behind it: neither's failure is a word such as `server`."""
    posted = threading.Event()

    def post(peer: Peer, asked: Asked) -> None:
        if not asked.body.startswith(b"40"):
            posted.set()
            peer.hold()
            raise Gone
        peer.reply(200, b"ok")

    def script(peer: Peer) -> None:
        def poll() -> None:
            posted.wait(5)
            peer.reply(200, b"1")

        peer.polled(lambda asked: post(peer, asked), poll)

    options: dict[str, Any] = {"version": 4, "transports": ["polling"], "reconnection": False}
    with Hostile(script) as server, gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        sio.emit("first")
        gevent.sleep(0)
        sio.emit("second")
        while sio.connected:
            gevent.sleep(0.01)
        names = ("first", "second")
        rows = {row.name: row.errors for row in sio.fleet.recorder.totals() if row.name in names}
        sio.close_quietly()
    assert rows == {name: {"connection lost: server": 1} for name in names}
