"""What is queued while a POST is under way fits into the bodies that follow, whatever their framing adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
import serverkit

from sioload.client.api import SocketIOClient

DATA: dict[str, Any] = {
    "short": "x",
    "text": "x" * 90,
    "beyond ascii": "€😀é" * 9,
    "binary": [b"\xff" * 40, b""],
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize("version, base64", [(4, False), (2, False), (2, True)])
def test_a_backlog_goes_out_in_bodies_that_the_server_takes(
    version: int, base64: bool, what: str, servers: Callable[..., serverkit.Server]
) -> None:
    server = servers("sio4", "--max-payload", "1500", "--allow-eio3")
    server.reset()
    options = {"version": version, "transports": ["polling"], "base64": base64}
    with gevent.Timeout(20):
        sio = SocketIOClient(None, options, url=server.url)
        sio.connect()
        for _ in range(200):
            sio.emit("echo", DATA[what])
        while sio.fleet.recorder.ledger.open:
            gevent.sleep(0.01)
        sio.disconnect()
    ledger = sio.fleet.recorder.ledger.encode()
    assert (ledger["sent"], ledger["error"]) == (200, 0), ledger
    assert server.counts()["received"]["/"]["echo"] == 200
