"""Connections that come back, or don't: who has gone meanwhile, and what the script is asked on the way."""

from __future__ import annotations

from typing import Any

import gevent
from faults.hostile import Hostile, Peer

from sioload.client.api import SocketIOClient

OPTIONS: dict[str, Any] = {"version": 4, "transports": ["websocket"], "reconnection_delay": 0.05}


def until(what: Any) -> None:
    while not what():
        gevent.sleep(0.01)


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
