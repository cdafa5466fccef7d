"""What python-socketio's client offers beside events, held against that client by one script for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serverkit

PROGRAM = Path(__file__).with_name("manners.py")


def called(kind: str, url: str) -> list[Any]:
    done = serverkit.run([sys.executable, PROGRAM, kind, url], timeout=40)
    assert done.code == 0, done.text
    found: list[Any] = json.loads(done.out)
    return found


def test_handlers_are_called_as_by_python_socketio(servers: Callable[..., serverkit.Server]) -> None:
    url = servers("sio4").url
    ours, theirs = called("sioload", url), called("socketio", url)
    assert sorted(map(str, ours)) == sorted(map(str, theirs))
    assert ["connect_error", "/private", {"message": "not authorized", "data": {"code": 401}}] in ours
    assert ours.index(["raised", True]) == 1
    assert [c[1] for c in ours if c[0] == "triggered"] == ["connect", "echo", "disconnect"]
    assert "disconnect" in ours and "class disconnect" in ours
