"""Servers that know no such path: what an attempt costs them."""

from __future__ import annotations

from typing import Any

import pytest
from faults.hostile import Hostile, Peer

from sioload.client.api import SocketIOClient
from sioload.errors import ConnectError
from sioload.net.fleet import Fleet


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]])
@pytest.mark.parametrize("version", [4, "auto"])
def test_another_form_of_the_path_is_tried_once(version: object, transports: list[str]) -> None:
    asked: list[str] = []

    def script(peer: Peer) -> None:
        while True:
            asked.append(peer.request().target.partition("?")[0])
            peer.reply(404, b"no such page", Connection="close")

    fleet = Fleet()
    options: dict[str, Any] = {"version": version, "transports": transports, "reconnection": False}
    with Hostile(script) as server:
        for _ in range(3):
            with pytest.raises(ConnectError, match=r"HTTP 404: no Socket\.IO server at this path"):
                SocketIOClient(fleet, options, url=server.url).connect()
    old = ["/socket.io/1/"] if version == "auto" else []
    assert asked == ["/socket.io/", "/socket.io", *old, "/socket.io/", *old, "/socket.io/", *old]
