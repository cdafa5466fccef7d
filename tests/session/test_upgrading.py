"""Upgrades from polling to websocket, as a user of a real server has them."""

from __future__ import annotations

from typing import Any

import gevent
import serverkit

from sioload.client.api import SocketIOClient


class Slow:
    """A user whose hook takes its time before the second transport is dialled."""

    def on_handshake(self, request: Any) -> None:
        if request.transport == "websocket":
            gevent.sleep(1.0)


def test_an_upgrade_begins_with_its_dialling_however_long_the_hook_took(target: serverkit.Server) -> None:
    """The hook is the script's: its time is none of the server's, and none in which the probe is answered."""
    options = {"version": 4, "connect_timeout": 0.8}
    with gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=target.url, user=Slow())
        sio.connect()
        found: list[Any] = []
        while not found:
            gevent.sleep(0.01)
            found = [row for row in sio.fleet.recorder.totals() if row.type == "UPGRADE" and row.count]
        transport = sio.transport
        sio.disconnect()
    assert (found[0].errors, transport) == ({}, "websocket")
