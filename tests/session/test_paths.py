"""Paths and queries as servers get them, and servers that know no such path: what an attempt costs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import serverkit
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


@pytest.mark.parametrize("kind", ["sio0", "sio4"])
@pytest.mark.parametrize("transports", [["polling"], ["websocket"]])
def test_a_query_of_any_letters_arrives(
    servers: Callable[..., serverkit.Server], kind: str, transports: list[str]
) -> None:
    """As from a browser, whose server reads it; Node refuses the letters themselves."""
    server = servers(kind)
    server.reset()
    given: dict[str, Any] = {"transports": transports, "query": "room=küche", "reconnection": False}
    client = SocketIOClient(Fleet(), given, url=f"{server.url}/?name=zoë€")
    client.connect()
    client.disconnect()
    asked = [parse_qs(urlsplit(one["url"]).query) for one in server.requests()]
    assert asked and all((one["name"], one["room"]) == (["zoë€"], ["küche"]) for one in asked), asked
