"""gevent-socketio 0.3.6, a server of 0.9 in Python with manners of its own (`servers/gsio.py`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import serverkit

SCRIPT = Path(__file__).resolve().parent / "old_python.py"


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
@pytest.mark.parametrize("version", ["0", "auto"])
def test_a_session(servers: Callable[..., serverkit.Server], version: str, transports: str) -> None:
    server = servers("gsio")
    done = serverkit.run([sys.executable, SCRIPT, server.url, version, transports], 60)
    assert done.code == 0, done.text
    told = json.loads(done.out)
    assert told["root"] == "€😀é" and told["chat"] == [1, {"a": None}] and told["later"] == list(range(20))
    assert told["echoed"] == "unasked"
    assert told["failures"] == {}
    opened = "xhr-polling" if transports == "polling" else "websocket"
    assert told["rows"] == ({"(probe)": 1} if version == "auto" else {}) | {opened: 1}
