"""With `version` "auto", servers that say nothing, or say late what they are."""

from __future__ import annotations

from typing import Any

import gevent
from faults.hostile import SID, Hostile, Peer

from sioload.client.api import SocketIOClient


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
