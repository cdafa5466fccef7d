"""The client's behaviour towards scripts, on real servers and on every transport (see scenarios.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import serverkit
from scenariokit import names_in, told_by

PROGRAM = Path(__file__).with_name("scenarios.py")
NAMES = names_in(PROGRAM)
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling,websocket"]}
WAYS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    f"{kind}-{name}": ((kind,), ways) for kind in ("sio4", "sio3") for name, ways in TRANSPORTS.items()
}
WAYS["sio4-compressed"] = ("sio4", "--deflate"), ["websocket", "compress"]


@pytest.fixture(scope="module")
def results(servers: Callable[..., serverkit.Server]) -> Callable[[str], dict[str, str | None]]:
    """All scenarios of one server and transport, run once: name to what went wrong."""

    @cache
    def run(way: str) -> dict[str, str | None]:
        server, options = WAYS[way]
        return told_by(serverkit.run([sys.executable, PROGRAM, servers(*server).url, *options], timeout=100))

    return run


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_scenario(way: str, name: str, results: Callable[[str], dict[str, str | None]]) -> None:
    fault = results(way)[name]
    assert fault is None, fault
