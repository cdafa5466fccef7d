"""Requests that meet the end of their connection: a GET goes out again, a POST that was sent never does."""

from __future__ import annotations

import json
import sys
import threading

import serverkit
from faults.hostile import Hostile, Peer

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
