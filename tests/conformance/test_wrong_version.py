"""Servers that take websockets only: the generation is found out without polling, a wrong version is told.

The wrong versions on servers that poll too are rows of the matrix (`behaviours/versions.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import serverkit
from conformance.conftest import run_driver
from conformance.table import SERVERS

SHUT = ("--transports", "websocket")
AUTOMATIC = "handshake: version found out by itself"
#: Without polling, 1.x and 2.x can't be told apart, and either version is taken.
WRONG = {
    "socket.io 0.9.19": (1, 2, 3, 4),
    "socket.io 1.7.4": (0, 3, 4),
    "socket.io 2.5.1": (0, 3, 4),
    "socket.io 3.1.2": (0, 1, 2),
    "socket.io 4.8.4": (0, 1, 2),
    "python-socketio 4.6.1": (0, 3, 4),
    "python-socketio 5": (0, 1, 2),
}


@pytest.mark.parametrize("name", WRONG)
def test_without_polling(servers: Callable[..., serverkit.Server], name: str) -> None:
    server = servers(SERVERS[name].kind, *SHUT)
    wrong = [f"version fixed to {version}, which is wrong" for version in WRONG[name]]
    asked = [arg for behaviour in (AUTOMATIC, *wrong) for arg in ("--only", behaviour)]
    found = run_driver(name, "websocket", server.url, *asked)
    assert len(found) == 1 + len(wrong)
    assert {behaviour: line["error"] for behaviour, line in found.items() if line["error"]} == {}
