"""Upgrades from polling to websocket, as a user of a real server has them."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
import serverkit

from sioload.client.api import SocketIOClient


class Slow:
    """A user whose hook takes its time before the second transport is dialled."""

    def on_handshake(self, request: Any) -> None:
        if request.transport == "websocket":
            gevent.sleep(1.0)


def upgraded(url: str, options: dict[str, Any], user: Any = None) -> tuple[dict[str, int], Any]:
    """How the upgrade of a session failed, and its transport then."""
    with gevent.Timeout(8):
        sio = SocketIOClient(None, options, url=url, user=user)
        sio.connect()
        found: list[Any] = []
        while not found:
            sio.emit("echo", 1, callback=print)  # a server that waits with its answer has one to give
            gevent.sleep(0.05)
            found = [row for row in sio.fleet.recorder.totals() if row.type == "UPGRADE" and row.count]
        transport = sio.transport
        sio.disconnect()
    return found[0].errors, transport


def test_an_upgrade_begins_with_its_dialling_however_long_the_hook_took(target: serverkit.Server) -> None:
    """The hook is the script's: its time is none of the server's, and none in which the probe is answered."""
    options = {"version": 4, "connect_timeout": 0.8}
    assert upgraded(target.url, options, Slow()) == ({}, "websocket")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sio4", "HTTP 400: Bad request (does a proxy drop the header Upgrade? sioload doctor"),
        ("pysio5", "HTTP 400: Invalid transport (does a proxy drop the header Upgrade, or is websocket"),
        ("pysio4", "HTTP 200 (does a proxy drop the header Upgrade? sioload doctor names the lines to add)"),
    ],
)
def test_an_upgrade_whose_header_a_proxy_drops(kind: str, words: str) -> None:
    """python-socketio 5 said that websocket was switched off on the server; 4 answers as it does a poll."""
    with serverkit.running(kind) as server, serverkit.nginx(server.port) as url:
        errors, transport = upgraded(url, {})
    assert transport == "polling" and [error[: len(words)] for error in errors] == [words], errors


def test_a_cookie_that_comes_with_the_refusal_of_an_upgrade_is_kept() -> None:
    """As balancers give one with whatever they answer."""
    refuses = 'if ($http_upgrade) { add_header Set-Cookie "node=2; Path=/" always; return 403; }'
    with serverkit.running("sio4") as server, serverkit.nginx(server.port, location=refuses) as url:
        assert upgraded(url, {})[1] == "polling"
        assert server.requests()[-1]["headers"].get("cookie") == "node=2"
